//! A worker is a free function.

struct Server;

impl Server {
    #[anyfork::worker]
    fn serve(&self, _port: u16) {}

    #[anyfork::worker]
    fn stop(self: Box<Self>) {}
}

fn main() {}
