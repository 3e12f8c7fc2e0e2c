//! An error that is not serde's crosses as text, and the message says how.

#[anyfork::call]
fn ours() -> anyfork::Result<()> {
    Ok(())
}

#[anyfork::call]
fn anyhows() -> anyhow::Result<u8> {
    Ok(1)
}

#[anyfork::call]
fn boxed() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Ok(())
}

fn main() {}
