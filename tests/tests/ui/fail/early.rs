//! Nothing is passed to what runs before `main`.

#[anyfork::early]
fn parameters(_name: String, _times: u32) {}

#[anyfork::early]
fn generic<T>() {}

#[anyfork::early]
async fn asynchronous() {}

#[anyfork::early]
unsafe fn not_safe() {}

#[anyfork::early(name = "load")]
fn named() {}

#[anyfork::early(keep_fds = true)]
fn valued() {}

#[anyfork::early(keep_fds, keep_fds)]
fn twice() {}

#[anyfork::early(keep_fds(3, 4))]
fn listed() {}

#[anyfork::early(keep)]
fn misspelt() {}

struct Cache;

impl Cache {
    #[anyfork::early]
    fn fill(&mut self) {}
}

#[anyfork::early]
static TABLE: [u8; 2] = [1, 2];

fn main() {}
