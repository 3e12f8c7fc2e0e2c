//! A function with a `Sender` is called one by one.

use anyfork::{Pool, Sender};

#[anyfork::call]
fn count(_to: u32, _progress: Sender<u32>) {}

fn main() {
    let pool = Pool::new().unwrap();
    let _ = count::map(&pool, 0..3);
    let _ = count::each(&pool, 0);
}
