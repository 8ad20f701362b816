//! TCP/IP: empty until the network arrives.
//!
//! The stack will stand here, on smoltcp behind a demultiplexer of its own, under the same rules as `vfs`: no
//! system-call names, no addresses of the application, no waiting; time and packets come in as arguments.
#![no_std]
#![forbid(unsafe_code)]
