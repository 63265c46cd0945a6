//! Nothing: only its manifest counts. `make demo` builds the daemon without most of its kinds; this crate beside it
//! chooses for the shared build dependencies the features that they have in a build of everything, so that the large ones
//! among them are built once.
