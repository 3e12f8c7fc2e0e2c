//! A runtime is chosen for an `async fn`, and threads for a pool.

#[anyfork::worker(flavor = "multi_thread", worker_threads = 2)]
fn blocking() {}

#[anyfork::worker(flavor = "many_threads")]
async fn unknown_flavor() {}

#[anyfork::worker(worker_threads = 2)]
async fn threads_without_pool() {}

#[anyfork::worker(flavor = "current_thread", worker_threads = 2)]
async fn threads_in_one_thread() {}

#[anyfork::worker(flavor = "multi_thread", worker_threads = 0)]
async fn no_threads() {}

#[anyfork::worker(flavor = "multi_thread", worker_threads = -1)]
async fn less_than_no_threads() {}

#[anyfork::worker(flavor = "multi_thread", worker_threads = "two")]
async fn threads_in_words() {}

fn main() {}
