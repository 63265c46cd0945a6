//! Where the members of a cluster are reached, which changes where they are pods.

use std::fmt;
use std::sync::Arc;

/// Where a member is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name on the platform.
    pub name: String,
    /// Its address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Place {
    /// A member on loopback.
    #[must_use]
    pub fn local(name: &str, port: u16) -> Self {
        Self { name: name.to_owned(), host: "127.0.0.1".to_owned(), port }
    }
}

/// What tells where members are, at any time.
#[derive(Clone)]
pub struct Places(Arc<dyn Fn() -> Vec<Place> + Send + Sync>);

impl fmt::Debug for Places {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Places").field(&self.now()).finish()
    }
}

impl Places {
    /// As somebody tells each time that he is asked.
    pub fn told_by(tells: impl Fn() -> Vec<Place> + Send + Sync + 'static) -> Self {
        Self(Arc::new(tells))
    }

    /// Where they are now, or may be.
    #[must_use]
    pub fn now(&self) -> Vec<Place> {
        (self.0)()
    }
}
