// Takes a vec4f `value` into a logsumexp's state: the greatest value so far, `top[c]`, and Σ exp(value − greatest), `total[c]`.
// Of equal infinities, too, the difference is 0.
let difference = select(value - top[c], vec4f(), value == top[c]);
let e = exp(-abs(difference));
total[c] = select(total[c] + e, total[c] * e + 1.0, difference > vec4f());
top[c] = max(top[c], value);
