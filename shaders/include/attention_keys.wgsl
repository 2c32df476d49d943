// Four keys from `key` on, beyond the last the last again, and where their vec4s begin in k and in v.
let keys = vec4u(key, key + 1u, key + 2u, key + 3u);
let rows = min(keys, vec4u(KEYS - 1u));
let kr = rows * K_WIDTH + vec4u(k0);
let vr = rows * V_WIDTH + vec4u(v0);
