//! What the tests of Plimsoll as a whole share.

pub mod audit;
