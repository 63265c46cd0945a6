//! Plimsoll as pods that its chart installed, in a real cluster: what they may do and what they may not, a real load on a
//! real etcd that is followed out and in past killed leaders, and what is left when the chart is taken away.

#[path = "kube_pods/follow.rs"]
mod follow;
#[path = "kube_pods/rights.rs"]
mod rights;

use plimsoll_tests::cluster::{Cluster, is_the_users};
use std::sync::Arc;

/// The cluster of these tests; none where it is the user's, into which there is no way to bring the image.
fn cluster() -> anyhow::Result<Option<Arc<Cluster>>> {
    if is_the_users() {
        println!("there is no way to bring an image into a user's cluster");
        return Ok(None);
    }
    let cluster = Cluster::shared()?;
    plimsoll_tests::kube::define(&cluster)?;
    Ok(Some(cluster))
}

/// Does something where the cluster's addresses are reachable.
fn inside<F: Future<Output = anyhow::Result<()>>>(
    cluster: &Cluster,
    test: impl FnOnce() -> F + Send,
) -> anyhow::Result<()> {
    cluster.inside(move || {
        plimsoll::tls::install_provider();
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(test())
    })?
}
