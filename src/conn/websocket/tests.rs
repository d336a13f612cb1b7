//! WebSockets on a wire in memory with a paused clock.
