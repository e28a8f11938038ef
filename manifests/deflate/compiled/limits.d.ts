/** Numbers of limits.ts that compile.ts puts in. */
declare const DEFLATE_BLOCK_TOKENS_MAX: i32;
declare const DEFLATE_SLICE_BYTES: i32;
declare const DEFLATE_WINDOW_BYTES: i32;
