/** Numbers of limits.ts, alphabet.ts and parameters.ts that compile.ts puts in. */
declare const CODE_BITS_MAX: i32;
declare const DEFLATE_BEHIND_END_BYTES: i32;
declare const DEFLATE_BLOCK_TOKENS_MAX: i32;
declare const DEFLATE_SLICE_BYTES: i32;
declare const DEFLATE_STEP_TOKENS: i32;
declare const DEFLATE_TABLE_BITS: i32;
declare const DEFLATE_WINDOW_BYTES: i32;
declare const DISTANCE_SYMBOLS: i32;
declare const END_OF_BLOCK: i32;
declare const FIXED_DISTANCE_SYMBOLS: i32;
declare const FIXED_LITERAL_SYMBOLS: i32;
declare const HASH_BITS_MAX: i32;
declare const LENGTH_SYMBOLS: i32;
declare const LITERALS: i32;
declare const MATCH_BYTES_MAX: i32;
declare const MATCH_BYTES_MIN: i32;
declare const WINDOW_BITS_MAX: i32;
