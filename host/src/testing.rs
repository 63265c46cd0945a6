//! What tests have in place of what cannot be had or broken at will: an API server and a disk.

#[cfg(test)]
pub(crate) mod disk;
pub mod objects;
#[cfg(test)]
pub(crate) mod scripted;
