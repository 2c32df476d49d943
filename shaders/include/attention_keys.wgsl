// Four keys from `key` on, beyond the last the last again, and where their vec4s begin in k and in v. In a quad, each lane
// begins with the key that it loads.
let keys = vec4u(key) + select(vec4u(0u, 1u, 2u, 3u), vec4u(local % 4u) ^ vec4u(0u, 1u, 2u, 3u), QUADS);
let rows = min(keys, vec4u(KEYS - 1u));
let kr = rows * K_WIDTH + vec4u(k0);
let vr = rows * V_WIDTH + vec4u(v0);
