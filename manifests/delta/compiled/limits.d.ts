/** Numbers of limits.ts that compile.ts puts in. */
declare const ARM64_PAGE_BYTES: i32;
declare const ARM64_PAGE_REACH_BYTES: i32;
declare const DELTA_OUTPUT_BYTES: i32;
declare const REFERENCE_BEYOND_BYTES: i32;
declare const REFERENCE_BLOCK_BITS: i32;
declare const REFERENCE_CODE_TRUST: i32;
declare const REFERENCE_REGION_BITS: i32;
declare const REFERENCE_SHIFTS_BITS: i32;
declare const REFERENCE_SHIFT_BYTES_MAX: i32;
declare const REFERENCE_TRUST_MAX: i32;
declare const REFERENCE_WATCHED_BYTES: i32;
declare const REFERENCE_WORD_DISTRUST: i32;
declare const REFERENCE_WORD_MIN: i32;
