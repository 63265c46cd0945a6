//! What the tests of Plimsoll as a whole share: real servers under their control.

pub mod prometheus;
