//! A descriptor arrives as the type that the worker asks for, std's or tokio's,
//! whichever it was sent as, and in the blocking mode that the type needs.

use std::fs::{self, File};
use std::future::IntoFuture;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::process::id;

use anyfork::{Args, Process, blocking};
use anyfork_tests::{flags, new, pipe_with, rest_of, runtime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net as tokio_net;
use tokio::net::unix::pipe::{Receiver, Sender};

/// Says a word through each, and what it was told through the rest.
#[anyfork::worker]
#[allow(clippy::too_many_arguments)]
fn speak(
    mut socket: UnixStream,
    fd: OwnedFd,
    mut file: File,
    tcp_listener: TcpListener,
    mut tcp: TcpStream,
    udp: UdpSocket,
    unix_listener: UnixListener,
    mut unix: UnixStream,
    datagram: UnixDatagram,
    mut reader: PipeReader,
    mut writer: PipeWriter,
) -> io::Result<()> {
    for number in anyfork_tests::descriptors(id())
        .into_keys()
        .filter(|number| *number > 2)
    {
        // Of a pipe for the status alone this is not promised.
        if number != socket.as_raw_fd() && flags(id(), number) & libc::O_ACCMODE == libc::O_RDWR {
            assert_eq!(flags(id(), number) & libc::O_NONBLOCK, 0, "{number}");
        }
    }
    File::from(fd).write_all(b"fd")?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    tcp_listener.accept()?.0.write_all(b"tcp listener")?;
    tcp.write_all(b"tcp")?;
    udp.send(b"udp")?;
    unix_listener.accept()?.0.write_all(b"unix listener")?;
    unix.write_all(b"unix")?;
    datagram.send(b"datagram")?;
    reader.read_to_string(&mut text)?;
    writer.write_all(b"writer")?;
    socket.write_all(text.as_bytes())
}

#[anyfork::worker]
#[allow(clippy::too_many_arguments)]
async fn speak_async(
    mut socket: tokio_net::UnixStream,
    fd: OwnedFd,
    mut file: tokio::fs::File,
    tcp_listener: tokio_net::TcpListener,
    mut tcp: tokio_net::TcpStream,
    udp: tokio_net::UdpSocket,
    unix_listener: tokio_net::UnixListener,
    mut unix: tokio_net::UnixStream,
    datagram: tokio_net::UnixDatagram,
    mut reader: Receiver,
    mut writer: Sender,
) -> io::Result<()> {
    File::from(fd).write_all(b"fd")?;
    let mut text = String::new();
    file.read_to_string(&mut text).await?;
    let mut accepted = tcp_listener.accept().await?.0;
    accepted.write_all(b"tcp listener").await?;
    tcp.write_all(b"tcp").await?;
    udp.send(b"udp").await?;
    let mut accepted = unix_listener.accept().await?.0;
    accepted.write_all(b"unix listener").await?;
    unix.write_all(b"unix").await?;
    datagram.send(b"datagram").await?;
    reader.read_to_string(&mut text).await?;
    writer.write_all(b"writer").await?;
    socket.write_all(text.as_bytes()).await
}

/// The other ends, to read from.
struct Kept {
    streams: Vec<(&'static str, Box<dyn Read>)>,
    udp: UdpSocket,
    datagram: UnixDatagram,
}

/// What a worker gets, as std's or as tokio's types, which are not blocking.
fn pairs(test: &str, as_tokio: bool) -> (Args, Kept) {
    let path = format!("{}/{test}-{}", env!("CARGO_TARGET_TMPDIR"), id());
    fs::write(&path, "from the file, ").unwrap();
    let file = File::open(&path).unwrap();
    fs::remove_file(path).unwrap();

    let local = "127.0.0.1:0";
    let tcp_listener = TcpListener::bind(local).unwrap();
    let connect = || TcpStream::connect(tcp_listener.local_addr().unwrap()).unwrap();
    let tcp_kept = connect();
    let tcp = tcp_listener.accept().unwrap().0;
    let tcp_waiting = connect();
    let (udp, udp_kept) = (
        UdpSocket::bind(local).unwrap(),
        UdpSocket::bind(local).unwrap(),
    );
    udp.connect(udp_kept.local_addr().unwrap()).unwrap();

    let name = SocketAddr::from_abstract_name(format!("{test}-{}", id())).unwrap();
    let unix_listener = UnixListener::bind_addr(&name).unwrap();
    let unix_waiting = UnixStream::connect_addr(&name).unwrap();
    let (unix, unix_kept) = UnixStream::pair().unwrap();
    let (datagram, datagram_kept) = UnixDatagram::pair().unwrap();
    let (fd_kept, fd) = io::pipe().unwrap();
    let (writer_kept, writer) = io::pipe().unwrap();
    let reader = pipe_with("from the pipe");

    macro_rules! args {
        ($($tokio:ident: $socket:ident),*) => {
            match as_tokio {
                false => anyfork::args![fd, file, $($socket,)* reader, writer],
                true => anyfork::args![
                    fd,
                    tokio::fs::File::from_std(file),
                    $({
                        $socket.set_nonblocking(true).unwrap();
                        tokio_net::$tokio::from_std($socket).unwrap()
                    },)*
                    Receiver::from_owned_fd(reader).unwrap(),
                    Sender::from_owned_fd(writer.into()).unwrap(),
                ],
            }
        };
    }
    let args = args! {
        TcpListener: tcp_listener,
        TcpStream: tcp,
        UdpSocket: udp,
        UnixListener: unix_listener,
        UnixStream: unix,
        UnixDatagram: datagram
    };
    let kept = Kept {
        streams: vec![
            ("fd", Box::new(fd_kept)),
            ("tcp listener", Box::new(tcp_waiting)),
            ("tcp", Box::new(tcp_kept)),
            ("unix listener", Box::new(unix_waiting)),
            ("unix", Box::new(unix_kept)),
            ("writer", Box::new(writer_kept)),
        ],
        udp: udp_kept,
        datagram: datagram_kept,
    };
    (args, kept)
}

impl Kept {
    fn check(mut self, mut worker: blocking::Worker) {
        assert_eq!(rest_of(&mut worker), "from the file, from the pipe");
        for (expected, stream) in &mut self.streams {
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert_eq!(text, *expected);
        }
        let mut bytes = [0; 16];
        assert_eq!(self.udp.recv(&mut bytes).unwrap(), 3);
        assert_eq!(bytes[..3], *b"udp");
        assert_eq!(self.datagram.recv(&mut bytes).unwrap(), 8);
        assert_eq!(bytes[..8], *b"datagram");
    }
}

#[test]
fn std_types_arrive_as_either() {
    for worker in ["speak", "speak_async"] {
        let (args, kept) = pairs(&format!("std-to-{worker}"), false);
        let launch = new().send_args(args).run(worker);
        kept.check(launch.blocking().unwrap());
    }
}

#[test]
fn tokio_types_arrive_as_either() {
    let runtime = runtime();
    for worker in ["speak", "speak_async"] {
        let (args, kept) = {
            let _guard = runtime.enter();
            pairs(&format!("tokio-to-{worker}"), true)
        };
        let launch = new().send_args(args).run(worker);
        kept.check(launch.blocking().unwrap());
    }
}

/// A sync worker has no runtime to give tokio's types.
#[anyfork::worker]
fn misplaced(_socket: UnixStream, _listener: tokio_net::TcpListener) {}

#[test]
fn a_tokio_type_needs_an_async_worker() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let launch = Process::new().unwrap().send_arg(listener).run("misplaced");
    let runtime = runtime();
    let error = runtime.block_on(launch.into_future()).unwrap_err();
    assert_eq!(error.kind(), anyfork::ErrorKind::BadArgument);
    assert!(error.to_string().contains("async fn"), "{error}");
}
