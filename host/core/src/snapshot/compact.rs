//! Values as bytes that are equal where the values are: what the tracker compares. Short, exact and cheap, because
//! it is done for every value of every member in every cycle.

use plimsoll_wire::snapshot::{Debt, Hosted, Lifecycle, Operation, Role};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A value that can be compared by its bytes.
pub(super) trait Compact {
    /// Appends the value; two values append the same bytes only where they are the same.
    fn write(&self, bytes: &mut Vec<u8>);
}

impl Compact for &str {
    fn write(&self, bytes: &mut Vec<u8>) {
        // The length goes first, so that no two lists of texts are one sequence of bytes.
        bytes.extend(self.len().to_le_bytes());
        bytes.extend(self.as_bytes());
    }
}

impl Compact for String {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.as_str().write(bytes);
    }
}

impl Compact for Arc<str> {
    fn write(&self, bytes: &mut Vec<u8>) {
        (&**self).write(bytes);
    }
}

impl Compact for bool {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(*self));
    }
}

impl Compact for u64 {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }
}

impl Compact for Lifecycle {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(*self as u8);
    }
}

impl Compact for BTreeSet<Role> {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.iter().map(|role| *role as u8));
    }
}

impl Compact for Hosted {
    fn write(&self, bytes: &mut Vec<u8>) {
        // What is due to a member says nothing of what it holds.
        for count in [self.copies, self.leaders, self.moving, self.open_writes, self.failed_moves] {
            count.write(bytes);
        }
    }
}

impl Compact for Vec<Debt> {
    fn write(&self, bytes: &mut Vec<u8>) {
        for debt in self {
            debt.kind.write(bytes);
            debt.member.write(bytes);
        }
    }
}

impl Compact for Vec<Operation> {
    /// Which operations run, not how far they are: a list is the same list while they make progress.
    fn write(&self, bytes: &mut Vec<u8>) {
        for operation in self {
            operation.id.write(bytes);
            bytes.push(operation.kind as u8);
            operation.owner.write(bytes);
            operation.scope.write(bytes);
        }
    }
}
