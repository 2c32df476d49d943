// What the backward pass reads besides: the cotangent of the result, and of each row of scores the logsumexp and delta.
@group(0) @binding(3) var<storage, read> g: array<vec4f>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(7) var<storage, read> mask: array<f32>;
