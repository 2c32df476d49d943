// Two states of a logsumexp, `a` and `b`, as one: the greatest value, and Σ exp(value − greatest).
let top = max(a.x, b.x);
// Of equal infinities, too, the difference is 0.
let below = select(vec2f(a.x, b.x) - top, vec2f(), vec2f(a.x, b.x) == vec2f(top));
return vec2f(top, a.y * exp(below.x) + b.y * exp(below.y));
