//! The attributes go on functions that have a body.

#[anyfork::worker]
struct Job;

trait Work {
    #[anyfork::worker]
    fn work();
}

fn main() {}
