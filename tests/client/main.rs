//! The client over real sockets, on both drivers: against our own server where that will do, against a scripted one where the
//! bytes matter.

mod basics;
