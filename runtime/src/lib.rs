//! One core = one thread = one ring: the runtime under `ringhttp`. It knows nothing of HTTP.
