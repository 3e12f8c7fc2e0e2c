//! A function of an `impl` block is sent out of it, by the compiler.

struct Server;

impl Server {
    #[anyfork::worker]
    fn serve(_port: u16) {}

    #[anyfork::call]
    fn add(one: u32, other: u32) -> u32 {
        one + other
    }
}

fn main() {}
