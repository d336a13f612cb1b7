//! TLS on a wire in memory: against rustls' own connections, which share no record layer with this one, and against
//! ourselves where the other side has to misbehave.

mod hostile;
mod memory;
pub(crate) mod peers;
mod talk;
