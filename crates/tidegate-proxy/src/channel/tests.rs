use std::os::unix::net::UnixStream as Peer;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use mio::net::UnixStream;
use mio::{Events, Poll, Token};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, ServerConnection, StreamOwned, SupportedProtocolVersion};
use socket2::SockRef;

use super::*;
use crate::crypto::Crew;
use crate::tls::Opening;
use crate::tls::fixtures::{HOST, Scene};

/// What a worker is to its channels, as small as can be.
struct Shell {
    poll: Poll,
    crew: Crew,
    buffer: Vec<u8>,
    mail: mpsc::Sender<(usize, Stepped)>,
    mailbox: mpsc::Receiver<(usize, Stepped)>,
    channels: Vec<Channel>,
}

/// What happened to a channel.
#[derive(Debug, PartialEq)]
enum Event {
    Said(Vec<u8>),
    Shaken(Result<Handshake, HandshakeError>),
    End,
    Broken,
}

const DEADLINE: Duration = Duration::from_secs(20);

impl Shell {
    fn new() -> Self {
        let (mail, mailbox) = mpsc::channel();
        Self {
            poll: Poll::new().expect("there is epoll"),
            crew: Crew::start(),
            buffer: vec![0; READ_BYTES],
            mail,
            mailbox,
            channels: Vec::new(),
        }
    }

    /// A channel and its peer.
    fn channel(&mut self) -> (usize, Peer) {
        let (socket, peer) = UnixStream::pair().expect("there are sockets");
        let peer: Peer = std::os::fd::OwnedFd::from(peer).into();
        peer.set_nonblocking(false).expect("it is a socket");
        peer.set_read_timeout(Some(DEADLINE)).expect("it is a socket");
        (self.adopt(socket), peer)
    }

    /// Two channels, each the other's peer, through which next to nothing fits.
    fn narrow_pair(&mut self) -> (usize, usize) {
        let (one, other) = UnixStream::pair().expect("there are sockets");
        for socket in [&one, &other] {
            SockRef::from(socket).set_send_buffer_size(1).expect("the kernel has a least size");
        }
        (self.adopt(one), self.adopt(other))
    }

    fn adopt(&mut self, socket: UnixStream) -> usize {
        let index = self.channels.len();
        let mut channel = Channel::new(Socket::Unix(socket));
        let registry = self.poll.registry().try_clone().expect("there are descriptors");
        let registry = Registry::Kernel(registry);
        channel.register(&registry, Token(index)).expect("it is a socket");
        self.channels.push(channel);
        index
    }

    fn start(&mut self, index: usize, tls: Tls) {
        let step = self.channels[index].start_tls(tls, &[]);
        self.submit(index, step);
    }

    fn submit(&self, index: usize, step: Box<Step>) {
        let sender = self.mail.clone();
        self.crew.submit(
            || step.run(),
            move |stepped| {
                // The test may be over.
                let _ = sender.send((index, stepped));
            },
        );
    }

    /// Waits for the kernel and the crew, and gives each channel that wants one a turn.
    fn turn(&mut self, heard: &mut dyn FnMut(&mut Channel, usize, Event)) {
        let mut events = Events::with_capacity(64);
        let patience = Some(Duration::from_millis(1));
        self.poll.poll(&mut events, patience).expect("epoll works");
        for event in &events {
            let channel = &mut self.channels[event.token().0];
            if event.is_writable() {
                let _ = channel.flush();
            }
            if event.is_read_closed() {
                channel.mark_hung_up();
            }
            if event.is_readable() || event.is_read_closed() {
                channel.mark_readable();
            }
        }
        for (index, stepped) in self.mailbox.try_iter().collect::<Vec<_>>() {
            let outcome = self.channels[index].stepped(stepped);
            heard(&mut self.channels[index], index, Event::Shaken(outcome));
        }
        for index in 0..self.channels.len() {
            let channel = &mut self.channels[index];
            channel.queued = false;
            if !channel.wants_turn() {
                continue;
            }
            channel.queued = false;
            let event = match channel.read(&mut self.buffer) {
                Input::Bytes(bytes) => Event::Said(self.buffer[..bytes].to_vec()),
                Input::Handshake(step) => {
                    self.submit(index, step);
                    continue;
                }
                Input::Nothing => continue,
                Input::End => {
                    channel.readable = false;
                    Event::End
                }
                Input::Broken(_) => {
                    channel.readable = false;
                    Event::Broken
                }
            };
            heard(&mut self.channels[index], index, event);
        }
    }

    /// Turns until `is_enough` says so of what has happened to any channel.
    fn until(&mut self, mut is_enough: impl FnMut(&mut Channel, usize, Event) -> bool) {
        let mut is_over = false;
        let clock = crate::clock::Clock::new();
        while !is_over {
            self.turn(&mut |channel, index, event| is_over |= is_enough(channel, index, event));
            assert!(
                clock.now().since(tidegate_wire::tick::Tick::ZERO) < DEADLINE,
                "it takes for ever"
            );
        }
    }

    fn until_shaken(&mut self, index: usize) {
        self.until(|_, of, event| match event {
            Event::Shaken(outcome) => {
                of == index && outcome.expect("it goes well") == Handshake::Done
            }
            event => panic!("{event:?}"),
        });
    }

    fn next(&mut self, index: usize) -> Event {
        let mut next = None;
        self.until(|_, of, event| {
            if of == index && event != Event::Shaken(Ok(Handshake::GoesOn)) {
                next = Some(event);
            }
            next.is_some()
        });
        next.expect("it was waited for")
    }

    /// A channel that has shaken hands with a peer of another make, which is handed back.
    fn with_client(&mut self, scene: &Scene) -> (usize, StreamOwned<ClientConnection, Peer>) {
        let (index, peer) = self.channel();
        let client = foreign_client(scene, &TLS13, peer);
        let client = std::thread::spawn(move || shake(client));
        self.start(index, scene.acceptor.accept(Opening::Requested));
        self.until_shaken(index);
        (index, client.join().expect("the client shakes hands"))
    }
}

fn foreign_client(
    scene: &Scene,
    version: &'static SupportedProtocolVersion,
    peer: Peer,
) -> StreamOwned<ClientConnection, Peer> {
    let config = Arc::new(scene.foreign_client(&[version], &[]));
    let name = ServerName::try_from(HOST).expect("it is a name");
    StreamOwned::new(ClientConnection::new(config, name).expect("it is configured"), peer)
}

fn shake(mut client: StreamOwned<ClientConnection, Peer>) -> StreamOwned<ClientConnection, Peer> {
    while client.conn.is_handshaking() {
        client.conn.complete_io(&mut client.sock).expect("the server is honest");
    }
    client
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|place| (place * 31 % 251) as u8).collect()
}

/// Asks, and expects to be answered with the same.
fn ask(stream: &mut (impl Read + Write), words: &[u8]) {
    stream.write_all(words).expect("the channel takes it");
    stream.flush().expect("the channel takes it");
    let mut answer = vec![0; words.len()];
    stream.read_exact(&mut answer).expect("the channel answers");
    assert_eq!(answer, words);
}

/// Echoes until the end.
fn echo(shell: &mut Shell, index: usize) {
    shell.until(|channel, of, event| {
        assert_eq!(of, index);
        match event {
            Event::Said(words) => channel.send_bytes(&words).expect("the peer listens"),
            Event::Shaken(outcome) => assert!(outcome.is_ok()),
            Event::End => return true,
            Event::Broken => panic!("the peer is honest"),
        }
        false
    });
}

#[test]
fn clients_of_another_make_are_spoken_with() {
    let scene = Scene::new();
    for version in [&TLS12, &TLS13] {
        let mut shell = Shell::new();
        let (index, peer) = shell.channel();
        let mut client = foreign_client(&scene, version, peer);
        let client: JoinHandle<()> = std::thread::spawn(move || {
            ask(&mut client, b"a query");
            ask(&mut client, &pattern(200_000));
            client.conn.send_close_notify();
            client.conn.complete_io(&mut client.sock).expect("the channel takes it");
        });
        shell.start(index, scene.acceptor.accept(Opening::Requested));
        echo(&mut shell, index);
        client.join().expect("the client is content");
    }
}

#[test]
fn servers_of_another_make_are_spoken_with() {
    let scene = Scene::new();
    for version in [&TLS12, &TLS13] {
        let mut shell = Shell::new();
        let (index, peer) = shell.channel();
        let config = Arc::new(scene.foreign_server(&[version]));
        let server = ServerConnection::new(config).expect("it is configured");
        let mut server = StreamOwned::new(server, peer);
        let server = std::thread::spawn(move || {
            ask(&mut server, b"a query");
            ask(&mut server, &pattern(200_000));
            // It goes without a goodbye, as PostgreSQL does when it is killed.
        });
        let tls = scene.connector.connect(HOST, Opening::Requested).expect("it is a name");
        shell.start(index, tls);
        echo(&mut shell, index);
        server.join().expect("the server is content");
    }
}

#[test]
fn much_goes_both_ways_through_little_room_and_is_never_piled_up() {
    let scene = Scene::new();
    let mut shell = Shell::new();
    let (server, client) = shell.narrow_pair();
    shell.start(server, scene.acceptor.accept(Opening::Direct));
    shell.start(client, scene.connector.connect(HOST, Opening::Direct).expect("it is a name"));
    let all = pattern(4 << 20);
    let mut sent = [0; 2];
    let mut heard = [Vec::new(), Vec::new()];
    let mut shaken = 0;
    while heard.iter().any(|heard: &Vec<u8>| heard.len() < all.len()) {
        shell.turn(&mut |_, index, event| match event {
            Event::Said(words) => heard[index].extend_from_slice(&words),
            Event::Shaken(outcome) => shaken += usize::from(outcome == Ok(Handshake::Done)),
            event => panic!("{event:?}"),
        });
        if shaken < 2 {
            continue;
        }
        for index in [server, client] {
            let channel = &mut shell.channels[index];
            while !channel.is_clogged() && sent[index] < all.len() {
                let end = all.len().min(sent[index] + READ_BYTES);
                channel.send_bytes(&all[sent[index]..end]).expect("the peer listens");
                sent[index] = end;
            }
            let bound = 2 * (2 * HIGH_WATER_BYTES + READ_BYTES);
            assert!(channel.out.capacity() <= bound, "{} bytes", channel.out.capacity());
        }
    }
    assert!(heard.iter().all(|heard| *heard == all));
    assert!(shell.channels.iter().all(|channel| channel.is_drained()));
    assert!(shell.channels.iter().all(|channel| channel.out.capacity() == 0), "no buffer is kept");
}

/// The same without TLS: whoever always has a little left must not pile up what was sent.
#[test]
fn a_slow_peer_does_not_make_what_was_sent_pile_up() {
    let mut shell = Shell::new();
    let (writer, reader) = shell.narrow_pair();
    let block = pattern(READ_BYTES);
    let mut rest = 16 << 20;
    shell.channels[reader].paused = true;
    while rest > 0 {
        let channel = &mut shell.channels[writer];
        while !channel.is_clogged() {
            channel.send_bytes(&block).expect("the peer listens");
            rest -= block.len().min(rest);
        }
        assert!(channel.out.capacity() <= 2 * (2 * HIGH_WATER_BYTES + READ_BYTES));
        // It reads a little at a time, so that there is always something unsent.
        let mut buffer = [0; 3000];
        shell.channels[reader].read(&mut buffer);
        shell.channels[writer].flush().expect("the peer listens");
        assert!(!shell.channels[writer].is_drained());
    }
}

#[test]
fn a_peer_that_does_not_read_clogs_the_channel_until_it_does() {
    let scene = Scene::new();
    let mut shell = Shell::new();
    let (index, mut client) = shell.with_client(&scene);
    let mut sent = 0;
    let channel = &mut shell.channels[index];
    while !channel.is_clogged() {
        channel.send_bytes(&pattern(10_000)).expect("the peer is there");
        sent += 10_000;
    }
    let unsent = channel.out.len() - channel.sent;
    assert!((HIGH_WATER_BYTES..HIGH_WATER_BYTES + 11_000).contains(&unsent), "{unsent}");
    assert_eq!(channel.flush(), Ok(()), "the kernel takes no more");
    assert!(channel.is_clogged());
    let reading = std::thread::spawn(move || {
        let mut all = vec![0; sent];
        client.read_exact(&mut all).expect("the channel says it");
        all
    });
    while !shell.channels[index].is_drained() {
        shell.turn(&mut |_, _, event| panic!("{event:?}"));
    }
    assert!(!shell.channels[index].is_clogged());
    let all = reading.join().expect("the client is content");
    assert!(all.chunks(10_000).all(|chunk| chunk == pattern(10_000)));
}

/// The last flight of the handshake and the first query may come as one; then the kernel has
/// nothing more to tell of.
#[test]
fn plaintext_that_came_with_the_handshake_is_read_although_the_socket_is_empty() {
    let scene = Scene::new();
    let mut shell = Shell::new();
    let (index, mut peer) = shell.channel();
    let query = pattern(20_000);
    let config = Arc::new(scene.foreign_client(&[&TLS13], &[]));
    let name = ServerName::try_from(HOST).expect("it is a name");
    let mut client = ClientConnection::new(config, name).expect("it is configured");
    client.write_tls(&mut peer).expect("the channel takes it");
    shell.start(index, scene.acceptor.accept(Opening::Requested));
    for _ in 0..2 {
        // First nothing has come, then the greeting.
        let goes_on = Event::Shaken(Ok(Handshake::GoesOn));
        shell.until(|_, _, event| event == goes_on);
    }
    while client.is_handshaking() {
        client.read_tls(&mut peer).expect("the channel answers");
        client.process_new_packets().expect("the channel is honest");
    }
    client.writer().write_all(&query).expect("it fits");
    let mut flight = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut flight).expect("memory takes everything");
    }
    peer.write_all(&flight).expect("the socket has room");
    let mut turns = 0;
    shell.until(|channel, _, event| {
        turns += 1;
        assert_eq!(event, Event::Shaken(Ok(Handshake::Done)));
        assert!(channel.readable, "there is something to read");
        channel.paused = true; // But nobody wants it yet.
        true
    });
    assert_eq!(turns, 1);
    assert!(!shell.channels[index].wants_turn());
    let mut probe = [0; 1];
    assert!(shell.channels[index].socket.read(&mut probe).is_err(), "the socket is empty");

    let channel = &mut shell.channels[index];
    channel.paused = false;
    assert!(channel.wants_turn());
    // A small buffer gets it little by little.
    let mut heard = Vec::new();
    let mut small = [0; 7000];
    while heard.len() < query.len() {
        assert!(channel.readable, "{} of {}", heard.len(), query.len());
        let Input::Bytes(bytes) = channel.read(&mut small) else { panic!("there is more") };
        heard.extend_from_slice(&small[..bytes]);
    }
    assert_eq!(heard, query);
    assert!(matches!(channel.read(&mut small), Input::Nothing));
    assert!(!channel.readable);
}

#[test]
fn small_buffers_get_everything_and_then_the_end() {
    let scene = Scene::new();
    let mut shell = Shell::new();
    let (index, mut client) = shell.with_client(&scene);
    let query = pattern(50_000);
    client.write_all(&query).expect("the socket has room");
    client.conn.send_close_notify();
    client.flush().expect("the socket has room");
    drop(client);
    let channel = &mut shell.channels[index];
    channel.mark_readable();
    let mut heard = Vec::new();
    let mut small = [0; 10];
    loop {
        match channel.read(&mut small) {
            Input::Bytes(bytes) => heard.extend_from_slice(&small[..bytes]),
            Input::End => break,
            other => panic!("{other:?}"),
        }
        assert!(channel.readable);
    }
    assert_eq!(heard, query);
}

#[test]
fn one_read_is_bounded_and_the_rest_waits_for_its_turn() {
    let scene = Scene::new();
    let mut shell = Shell::new();
    let (index, mut client) = shell.with_client(&scene);
    SockRef::from(&client.sock).set_send_buffer_size(1 << 20).expect("it is a socket");
    let query = pattern(150_000);
    client.write_all(&query).expect("the socket has room");
    client.flush().expect("the socket has room");
    let channel = &mut shell.channels[index];
    channel.mark_readable();
    let mut heard = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut reads = 0;
    while channel.readable {
        reads += 1;
        match channel.read(&mut buffer) {
            Input::Bytes(bytes) => heard.extend_from_slice(&buffer[..bytes]),
            Input::Nothing => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, query);
    assert!((3..=4).contains(&reads), "{reads} reads of at most 64 kB");
}

#[test]
fn reading_that_was_paused_goes_on_where_it_stopped() {
    let scene = Scene::new();
    let mut shell = Shell::new();
    let (index, mut client) = shell.with_client(&scene);
    shell.channels[index].paused = true;
    client.write_all(b"a query").expect("the socket has room");
    client.flush().expect("the socket has room");
    while !shell.channels[index].readable {
        shell.turn(&mut |_, _, event| panic!("{event:?}"));
    }
    assert!(!shell.channels[index].wants_turn());
    shell.channels[index].paused = false;
    assert_eq!(shell.next(index), Event::Said(b"a query".to_vec()));
}

#[test]
fn several_pieces_are_one_record() {
    let scene = Scene::new();
    let mut shell = Shell::new();
    let (index, mut client) = shell.with_client(&scene);
    let mut pieces = Pieces::default();
    pieces.own_bytes(b"own ");
    pieces.forward(2..9);
    pieces.own_bytes(b" own");
    shell.channels[index].send(&pieces, b"--forward--").expect("the peer listens");
    let mut words = [0; 64];
    assert_eq!(client.read(&mut words).expect("the channel says it"), 15);
    assert_eq!(&words[..15], b"own forward own");
    pieces.clear();
    pieces.forward(0..11);
    shell.channels[index].send(&pieces, b"--forward--").expect("the peer listens");
    assert_eq!(client.read(&mut words).expect("the channel says it"), 11);
}

#[test]
fn keys_are_renewed_when_the_peer_asks_for_it() {
    let scene = Scene::new();
    let mut shell = Shell::new();
    let (index, mut client) = shell.with_client(&scene);
    for _ in 0..3 {
        client.conn.refresh_traffic_keys().expect("it is TLS 1.3");
        client.write_all(b"a query").expect("the socket has room");
        client.flush().expect("the socket has room");
        assert_eq!(shell.next(index), Event::Said(b"a query".to_vec()));
        shell.channels[index].send_bytes(b"an answer").expect("the peer listens");
        let mut answer = [0; 9];
        client.read_exact(&mut answer).expect("the channel answers");
        assert_eq!(&answer, b"an answer");
    }
}

#[test]
fn goodbyes_are_said_and_heard() {
    let scene = Scene::new();
    let mut shell = Shell::new();
    let (index, mut client) = shell.with_client(&scene);
    shell.channels[index].send_bytes(b"last words").expect("the peer listens");
    shell.channels[index].shutdown_write();
    let mut words = Vec::new();
    client.read_to_end(&mut words).expect("the end is said, or this is an error");
    assert_eq!(words, b"last words");
    client.write_all(b"and you").expect("the socket has room");
    client.conn.send_close_notify();
    client.flush().expect("the socket has room");
    assert_eq!(shell.next(index), Event::Said(b"and you".to_vec()));
    assert!(shell.channels[index].readable, "the end is still to be read");
    assert_eq!(shell.next(index), Event::End);
    assert!(shell.channels[index].send_bytes(b"too late").is_err());
}

#[test]
fn an_end_without_a_goodbye_is_an_end() {
    let scene = Scene::new();
    let mut shell = Shell::new();
    let (index, client) = shell.with_client(&scene);
    drop(client);
    assert_eq!(shell.next(index), Event::End);

    // In the midst of a record, too.
    let (index, mut client) = shell.with_client(&scene);
    client.conn.writer().write_all(&pattern(5000)).expect("it fits");
    let mut record = Vec::new();
    client.conn.write_tls(&mut record).expect("memory takes everything");
    client.sock.write_all(&record[..4000]).expect("the socket has room");
    drop(client);
    assert_eq!(shell.next(index), Event::End);
}

#[test]
fn a_peer_that_vanishes_during_the_handshake_is_noticed() {
    let scene = Scene::new();
    let mut shell = Shell::new();
    let (index, peer) = shell.channel();
    shell.start(index, scene.acceptor.accept(Opening::Requested));
    drop(peer);
    assert_eq!(shell.next(index), Event::End);
}

#[test]
fn garbage_is_answered_with_an_alert_and_ends_the_connection() {
    let scene = Scene::new();
    let mut shell = Shell::new();
    // During the handshake.
    let (index, mut peer) = shell.channel();
    shell.start(index, scene.acceptor.accept(Opening::Requested));
    peer.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("the socket has room");
    assert_eq!(shell.next(index), Event::Shaken(Err(HandshakeError::NotTls)));
    let channel = &mut shell.channels[index];
    assert_eq!(channel.send_bytes(b"in clear"), Err(Broken));
    assert_eq!(channel.send_bytes(b""), Ok(()));
    channel.shutdown_write();
    peer.write_all(&[0; 100_000]).expect("it is read, and not looked at");
    peer.shutdown(Shutdown::Write).expect("it is a socket");
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer).expect("the channel answers");
    assert_eq!((answer.len(), answer[0]), (7, 21), "one alert in clear");
    assert_eq!(shell.next(index), Event::End);

    // And after it, behind a record that is right.
    let (index, mut client) = shell.with_client(&scene);
    client.conn.writer().write_all(b"a query").expect("it fits");
    let mut records = Vec::new();
    client.conn.write_tls(&mut records).expect("memory takes everything");
    records.extend_from_slice(&[23, 3, 3, 0, 32]);
    records.extend_from_slice(&[7; 32]);
    client.sock.write_all(&records).expect("the socket has room");
    assert_eq!(shell.next(index), Event::Said(b"a query".to_vec()));
    assert_eq!(shell.next(index), Event::Broken);
    assert_eq!(shell.channels[index].send_bytes(b"an answer"), Err(Broken));
    let error = client.read(&mut [0; 10]).expect_err("it is told");
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
}

#[test]
fn nothing_is_said_in_clear_once_tls_has_begun() {
    let scene = Scene::new();
    let mut shell = Shell::new();
    let (index, mut peer) = shell.channel();
    shell.channels[index].send_bytes(b"S").expect("the peer listens");
    let step = shell.channels[index].start_tls(scene.acceptor.accept(Opening::Requested), &[]);
    let channel = &mut shell.channels[index];
    assert_eq!(channel.send_bytes(b"a secret"), Err(Broken));
    channel.mark_readable();
    channel.queued = false;
    assert!(!channel.wants_turn(), "the crew is at it");
    assert!(matches!(channel.read(&mut [0; 16]), Input::Nothing));
    assert_eq!(channel.stepped(step.run()), Ok(Handshake::GoesOn));
    assert!(channel.wants_turn(), "something came meanwhile");
    assert_eq!(channel.send_bytes(b"a secret"), Err(Broken));
    channel.shutdown_write();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).expect("the channel ends it");
    assert_eq!(all, b"S");
}

/// A plain channel is no larger for it than by a pointer, and an idle connection keeps no buffer.
#[test]
fn an_idle_connection_is_small() {
    // Beside the socket: a pointer for TLS, what waits (24 and 8), what that takes of
    // the memory for clients (16), what was sent, four flags.
    assert!(size_of::<Channel>() <= size_of::<Socket>() + 8 + 32 + 16 + 8 + 8);
    let scene = Scene::new();
    let mut shell = Shell::new();
    let mut clients = Vec::new();
    let (before, after) = (100, 400);
    let descriptors = crate::limits::raise(after as u32, 0);
    assert!(descriptors.clients_max >= after as u32, "{descriptors:?}");
    let mut resident = Vec::new();
    for count in 0..after {
        if count == before {
            resident.push(resident_bytes());
        }
        let (index, mut client) = shell.with_client(&scene);
        // What was large once is not kept.
        client.write_all(&pattern(40_000)).expect("the socket has room");
        client.flush().expect("the socket has room");
        let mut heard = 0;
        shell.until(|channel, _, event| {
            if let Event::Said(words) = event {
                channel.send_bytes(&words).expect("the peer listens");
                heard += words.len();
            }
            heard == 40_000
        });
        client.read_exact(&mut vec![0; 40_000]).expect("the channel answers");
        assert_eq!(shell.channels[index].out.capacity(), 0);
        let StreamOwned { sock, .. } = client; // Its memory is not ours to count.
        clients.push(sock);
    }
    resident.push(resident_bytes());
    let each = (resident[1] - resident[0]) / (after - before);
    println!("{each} bytes for an idle connection");
    assert!(each <= 24 * 1024, "{each} bytes");
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has a size");
    let kibibytes = line.split_ascii_whitespace().nth(1).expect("a number follows");
    1024 * kibibytes.parse::<usize>().expect("it is a number")
}

// --- What the kernel has taken, and what has come. ---

#[test]
fn what_the_kernel_has_not_taken_is_not_counted_as_sent() {
    let mut shell = Shell::new();
    let (place, peer) = shell.channel();
    let channel = &mut shell.channels[place];
    channel.send_bytes(b"hello").expect("the peer is there");
    assert_eq!((channel.accepted(), channel.promised()), (5, 5));
    // More than the socket holds: the rest waits.
    let much = vec![0; 8 * 1024 * 1024];
    channel.send_bytes(&much).expect("the peer is there");
    assert_eq!(channel.promised(), 5 + much.len() as u64);
    assert!(channel.accepted() < channel.promised(), "{}", channel.accepted());

    let (place, peer_of_other) = shell.channel();
    drop(peer_of_other);
    let channel = &mut shell.channels[place];
    assert_eq!(channel.send_bytes(b"never"), Err(Broken));
    assert_eq!((channel.accepted(), channel.promised()), (0, 0));
    drop(peer);
}

#[test]
fn what_was_never_taken_can_be_forgotten() {
    let scene = Scene::new();
    let mut shell = Shell::new();
    let (index, client) = shell.with_client(&scene);
    drop(client);
    let channel = &mut shell.channels[index];
    let before = channel.accepted();
    assert_eq!(channel.send_bytes(b"to be given to another"), Err(Broken));
    assert!(!channel.is_drained(), "it is sealed, and would be offered again");
    channel.forget_unsent();
    assert_eq!((channel.accepted(), channel.promised()), (before, before));
    assert_eq!(channel.send_bytes(b"behind it"), Err(Broken));
    channel.shutdown_write();
    assert!(channel.is_drained(), "no goodbye of TLS's follows what is missing");
}

#[test]
fn news_is_seen_without_being_taken() {
    use std::io::Write as _;
    let mut shell = Shell::new();
    let (place, mut peer) = shell.channel();
    let channel = &mut shell.channels[place];
    assert!(!channel.has_news());
    peer.write_all(b"news").expect("it is taken");
    assert!(channel.has_news());
    assert!(channel.has_news(), "it is still there");
    assert!(matches!(channel.read(&mut [0; 64]), Input::Bytes(4)));
    assert!(!channel.has_news());
    drop(peer);
    assert!(channel.has_news(), "the end is news, too");
    assert!(matches!(channel.read(&mut [0; 64]), Input::End));
}
