// Sizes, and where q, k and v lie, as forward.wgsl says.
const BATCH: u32 = 2;
const HEADS: u32 = 2;
const SIZE: u32 = 2;
const QUERIES: u32 = 8;
const KEYS: u32 = 8;
const Q_WIDTH: u32 = 4;
const K_WIDTH: u32 = 4;
const V_WIDTH: u32 = 4;
const Q_FIRST: u32 = 0;
const K_FIRST: u32 = 0;
const V_FIRST: u32 = 0;
const SCALE: f32 = 0.35;
const CAUSAL: bool = false;
const MASKED: bool = false;
const MASK_BATCH: u32 = 0;
const MASK_HEAD: u32 = 0;
const MASK_QUERY: u32 = 0;
const MASK_KEY: u32 = 0;

@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
