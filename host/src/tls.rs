//! TLS: the one cryptographic provider of this process.

/// Installs the provider. Call it before the first client with TLS is made. A second call changes nothing, and neither
/// does one after another provider was installed.
pub fn install_provider() {
    // The only error is "there is one already", which is what we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
