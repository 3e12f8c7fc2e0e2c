//! Messages with descriptors, on pairs of one process.
//! RUNS IN: any

use crate::sys::socket::*;

#[test]
fn descriptors_arrive_close_on_exec_and_in_order() {
    let (a, b) = UnixStream::pair().unwrap();
    let pipes: Vec<_> = (0..3).map(|_| std::io::pipe().unwrap()).collect();
    let fds: Vec<_> = pipes.iter().map(|(_, write)| write.as_fd()).collect();
    assert_eq!(send(a.as_fd(), b"abc", &fds).unwrap(), 3);

    let (mut buffer, mut got) = ([0; 8], Vec::new());
    let received = receive(b.as_fd(), &mut buffer, &mut got).unwrap();
    assert_eq!((received.len, received.fds_cut), (3, false));
    for (i, (fd, (mut read, write))) in got.into_iter().zip(pipes).enumerate() {
        drop(write);
        // SAFETY: F_GETFD takes no argument.
        let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags, libc::FD_CLOEXEC);
        io::Write::write_all(&mut std::fs::File::from(fd), &[i as u8]).unwrap();
        let mut byte = Vec::new();
        io::Read::read_to_end(&mut read, &mut byte).unwrap();
        assert_eq!(byte, [i as u8]);
    }
}

#[test]
fn what_was_not_received_is_unread() {
    let (a, b) = message_pair().unwrap();
    assert!(!has_unread(a.as_fd()).unwrap());
    send(a.as_fd(), b"x", &[]).unwrap();
    assert!(has_unread(a.as_fd()).unwrap());
    receive(b.as_fd(), &mut [0; 1], &mut Vec::new()).unwrap();
    assert!(!has_unread(a.as_fd()).unwrap());
}

#[test]
fn an_empty_socket_would_block_and_a_gone_peer_is_an_error() {
    let (a, b) = UnixStream::pair().unwrap();
    let error = receive(b.as_fd(), &mut [0; 1], &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    drop(b);
    assert_eq!(
        send(a.as_fd(), b"x", &[]).unwrap_err().kind(),
        io::ErrorKind::BrokenPipe
    );
}
