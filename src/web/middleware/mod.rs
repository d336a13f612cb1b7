//! Ready-made middleware: what [`Router::with`](crate::Router::with) takes. One file each.
