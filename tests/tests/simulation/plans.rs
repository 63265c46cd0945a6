//! Plans that are disturbed at each of their points.
