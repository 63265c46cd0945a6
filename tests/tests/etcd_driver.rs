//! The etcd driver against real members.

use plimsoll_tests::etcd::Rig;

#[tokio::test]
async fn starts_three_members() -> anyhow::Result<()> {
    let mut rig = Rig::start(3, 7).await?;
    let listing = rig.list()?;
    assert_eq!(listing.members.len(), 3);
    assert_eq!(listing.vacant.len(), 4);
    rig.prometheus().await?;
    Ok(())
}
