//! LISTEN for many by one: a server that listens in the stead of clients that share servers.
//!
//! A client listens on whatever server it has. When its transaction has ended, what it listens to
//! moves to the one server that listens for its whole database, and the client's own server is free
//! again. So that nothing is lost or told twice at the move, both servers listen for a while, and a
//! *marker* is sent: a notification that says with what the one ends and the other begins. Within
//! PostgreSQL all notifications have one order, which every session hears (PostgreSQL 15,
//! `async.c`).
//!
//! ```text
//!  client's server:  LISTEN marker ...... a, b, MARKER 7            UNLISTEN
//!  listening server:      LISTEN news; NOTIFY marker, 7  ... MARKER 7, c, d
//!  client hears:     a, b (from its own server), then c, d (from the listening one)
//! ```
//!
//! - [`Fanout`]: what the listening server hears, and who is to be told.
//! - [`Mailbox`]: what a client is to be told once it is in no transaction, as PostgreSQL does it.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_wire::backend::{Message, Severity, Tag};
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::frame::{Front, HEADER_BYTES, front};

use crate::splitter::FRAME_BYTES_MAX;
use crate::traces::Channels;

/// The channel of markers. Its name is longer than people like, so that nobody else has it.
pub const MARKER_CHANNEL: &str = "tidegate_listeners_move";

/// A channel's name as SQL has it; none where it can't be said in every encoding.
fn quoted(channel: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(channel).ok().filter(|name| name.is_ascii())?;
    Some(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// Whether a channel can move: its name is the same in every encoding.
pub fn can_move(channel: &[u8]) -> bool {
    quoted(channel).is_some()
}

fn each(verb: &str, channels: &Channels) -> String {
    channels.iter().filter_map(|channel| Some(format!("{verb} {};", quoted(channel)?))).collect()
}

/// What makes a client's own server hear its marker.
pub fn listen_to_markers() -> String {
    format!("LISTEN {MARKER_CHANNEL}")
}

/// What ends listening on a client's own server.
pub fn unlisten(channels: &Channels) -> String {
    format!("{}UNLISTEN {MARKER_CHANNEL}", each("UNLISTEN", channels))
}

/// What a marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marker(u64);

impl Marker {
    /// The marker that a notification is, if it is one; whether it is this one.
    pub fn is_in(self, channel: &[u8], payload: &[u8]) -> bool {
        channel == MARKER_CHANNEL.as_bytes() && payload == self.0.to_string().as_bytes()
    }
}

/// Who of the clients of a database listens to what. `K` names a client.
#[derive(Debug)]
pub struct Fanout<K> {
    listeners: BTreeMap<Box<[u8]>, BTreeSet<K>>,
    /// Clients whose marker has not come yet.
    moving: BTreeMap<Marker, (K, Channels)>,
    last_marker: u64,
    /// The front of a message of which more is to come.
    partial: Vec<u8>,
}

/// Something for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery<K> {
    /// Which.
    pub client: K,
    /// A NotificationResponse.
    pub frame: Vec<u8>,
}

impl<K: Copy + Ord> Default for Fanout<K> {
    fn default() -> Self {
        Self {
            listeners: BTreeMap::new(),
            moving: BTreeMap::new(),
            last_marker: 0,
            partial: Vec::new(),
        }
    }
}

impl<K: Copy + Ord> Fanout<K> {
    /// The server of a client becomes the one that listens, for it at first: it listens already.
    /// What it must be sent.
    pub fn adopt(&mut self, client: K, channels: Channels) -> String {
        self.partial.clear();
        for channel in channels {
            self.listeners.entry(channel).or_default().insert(client);
        }
        listen_to_markers()
    }

    /// Another client's channels are to move here. What the listening server must be sent, once the
    /// client's own server listens to markers; and the marker.
    pub fn begin_move(&mut self, client: K, channels: Channels) -> (Marker, String) {
        self.last_marker += 1;
        let marker = Marker(self.last_marker);
        let sql = format!("{}NOTIFY {MARKER_CHANNEL}, '{}'", each("LISTEN", &channels), marker.0);
        self.moving.insert(marker, (client, channels));
        (marker, sql)
    }

    /// The client listens to these no more; to none where not given. What the listening server must
    /// be sent, if anything.
    pub fn unlisten(&mut self, client: K, channels: Option<&Channels>) -> Option<String> {
        let mut unheard = BTreeSet::new();
        for (channel, listeners) in &mut self.listeners {
            let is_meant = channels.is_none_or(|channels| channels.contains(channel));
            if is_meant && listeners.remove(&client) && listeners.is_empty() {
                unheard.insert(channel.clone());
            }
        }
        for channel in &unheard {
            self.listeners.remove(channel);
        }
        for (_, of_move) in self.moving.values_mut().filter(|(of, _)| *of == client) {
            match channels {
                Some(channels) => of_move.retain(|channel| !channels.contains(channel)),
                None => of_move.clear(),
            }
        }
        (!unheard.is_empty()).then(|| each("UNLISTEN", &unheard))
    }

    /// The client has gone.
    pub fn leave(&mut self, client: K) -> Option<String> {
        self.moving.retain(|_, (moving, _)| *moving != client);
        self.unlisten(client, None)
    }

    /// Whether this client listens, or is about to.
    pub fn has(&self, client: K) -> bool {
        self.listeners.values().any(|listeners| listeners.contains(&client))
            || self.moving.values().any(|(moving, _)| *moving == client)
    }

    /// How many listen.
    pub fn clients(&self) -> usize {
        self.listeners.values().flatten().collect::<BTreeSet<_>>().len()
    }

    /// Whether nobody listens, and nobody is about to.
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty() && self.moving.is_empty()
    }

    /// What a new server must be sent, as the old one is lost.
    pub fn listen_again(&mut self) -> String {
        self.partial.clear();
        let channels = self.listeners.keys().cloned().collect();
        format!("{}{}", each("LISTEN", &channels), listen_to_markers())
    }

    /// Everybody who listens, and those whose move has failed with the server.
    pub fn lost(&mut self) -> (BTreeSet<K>, Vec<K>) {
        let all = self.listeners.values().flatten().copied().collect();
        let moving = std::mem::take(&mut self.moving).into_values().map(|(client, _)| client);
        (all, moving.collect())
    }

    /// The listening server has said something beside what answers Tidegate: for whom it is.
    pub fn hear(&mut self, bytes: &[u8], out: &mut Vec<Delivery<K>>) {
        let mut partial = std::mem::take(&mut self.partial);
        partial.extend_from_slice(bytes);
        let mut rest = partial.as_slice();
        while let Ok(Front::Frame { tag, frame_bytes }) = front(rest, FRAME_BYTES_MAX)
            && let Some(frame) = usize::try_from(frame_bytes).ok().and_then(|n| rest.get(..n))
        {
            if tag == Tag::NotificationResponse.byte() {
                self.dispatch(frame, out);
            }
            rest = rest.get(frame.len()..).unwrap_or_default();
        }
        let used = partial.len() - rest.len();
        partial.drain(..used);
        self.partial = partial;
    }

    fn dispatch(&mut self, frame: &[u8], out: &mut Vec<Delivery<K>>) {
        let body = frame.get(HEADER_BYTES..).unwrap_or_default();
        let Ok(Message::NotificationResponse { channel, payload, .. }) =
            Message::decode(Tag::NotificationResponse, body)
        else {
            return;
        };
        if channel == MARKER_CHANNEL.as_bytes() {
            let moved = self.moving.keys().find(|marker| marker.is_in(channel, payload)).copied();
            if let Some((client, channels)) = moved.and_then(|marker| self.moving.remove(&marker)) {
                for channel in channels {
                    self.listeners.entry(channel).or_default().insert(client);
                }
            }
            return;
        }
        let listeners = self.listeners.get(channel).into_iter().flatten();
        out.extend(listeners.map(|client| Delivery { client: *client, frame: frame.to_vec() }));
    }
}

/// What a client that is in a transaction is to be told later.
#[derive(Debug, Default)]
pub struct Mailbox {
    frames: Vec<u8>,
    /// Its own server still tells it what came before.
    is_held: bool,
    /// Something could not be kept.
    has_lost: bool,
}

/// Notifications that wait for one client. PostgreSQL's own queue holds 8 GB for all; one that does
/// not end its transaction must not hold as much here.
pub const MAILBOX_BYTES_MAX: usize = 1024 * 1024;

impl Mailbox {
    /// Nothing is told before [`Mailbox::release`].
    pub fn hold(&mut self) {
        self.is_held = true;
    }

    /// What was held may be told.
    pub fn release(&mut self) {
        self.is_held = false;
    }

    /// Adds a notification. What finds no room is lost, and the client is told so.
    pub fn add(&mut self, frame: &[u8]) {
        if self.has_lost || self.frames.len() + frame.len() > MAILBOX_BYTES_MAX {
            self.has_lost = true;
            return;
        }
        self.frames.extend_from_slice(frame);
    }

    /// Notifications may have been lost; the client is told so in their place.
    pub fn lose(&mut self) {
        self.has_lost = true;
    }

    /// What it keeps, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.frames.capacity()
    }

    /// Whether there is something to be told.
    pub fn is_due(&self) -> bool {
        !self.is_held && (self.has_lost || !self.frames.is_empty())
    }

    /// What the client is to be told now.
    pub fn take(&mut self) -> Vec<u8> {
        let mut frames = std::mem::take(&mut self.frames);
        if std::mem::take(&mut self.has_lost) {
            Complaint::notifications_lost().encode_notice(Severity::Warning, &mut frames);
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(names: &[&str]) -> Channels {
        names.iter().map(|name| name.as_bytes().into()).collect()
    }

    fn notification(channel: &str, payload: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let (channel, payload) = (channel.as_bytes(), payload.as_bytes());
        let message = Message::NotificationResponse { pid: 7, channel, payload };
        message.encode(&mut out).expect("it can be encoded");
        out
    }

    fn heard(fanout: &mut Fanout<u8>, bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut out = Vec::new();
        fanout.hear(bytes, &mut out);
        out.into_iter().map(|delivery| (delivery.client, delivery.frame)).collect()
    }

    #[test]
    fn what_is_heard_goes_to_those_who_listen() {
        let mut fanout = Fanout::default();
        assert_eq!(fanout.adopt(1, channels(&["a", "b"])), "LISTEN tidegate_listeners_move");
        let a = notification("a", "x");
        assert_eq!(heard(&mut fanout, &a), [(1, a.clone())]);
        assert_eq!(heard(&mut fanout, &notification("c", "x")), []);
        // In pieces, and with something else between.
        let stream = [&a[..], b"S\0\0\0\x04", &a].concat();
        for cut in 0..stream.len() {
            let mut all = heard(&mut fanout, &stream[..cut]);
            all.extend(heard(&mut fanout, &stream[cut..]));
            assert_eq!(all, [(1, a.clone()), (1, a.clone())], "cut at {cut}");
        }
        assert_eq!(fanout.unlisten(1, Some(&channels(&["a"]))).as_deref(), Some("UNLISTEN \"a\";"));
        assert_eq!(heard(&mut fanout, &a), []);
        assert!(!fanout.is_empty());
        assert_eq!(fanout.leave(1).as_deref(), Some("UNLISTEN \"b\";"));
        assert!(fanout.is_empty());
    }

    #[test]
    fn a_client_that_moves_is_told_from_its_marker_on() {
        let mut fanout = Fanout::default();
        fanout.adopt(1, channels(&["a"]));
        let (marker, sql) = fanout.begin_move(2, channels(&["a", "q\"x"]));
        assert_eq!(sql, "LISTEN \"a\";LISTEN \"q\"\"x\";NOTIFY tidegate_listeners_move, '1'");
        let a = notification("a", "");
        assert_eq!(heard(&mut fanout, &a), [(1, a.clone())], "2 hears it by its own server");
        assert!(marker.is_in(MARKER_CHANNEL.as_bytes(), b"1"));
        assert_eq!(heard(&mut fanout, &notification(MARKER_CHANNEL, "1")), []);
        assert_eq!(heard(&mut fanout, &a), [(1, a.clone()), (2, a.clone())]);
        assert_eq!(fanout.unlisten(1, None), None, "2 listens still");
        assert_eq!(heard(&mut fanout, &a), [(2, a.clone())]);
        let again = fanout.listen_again();
        assert_eq!(again, "LISTEN \"a\";LISTEN \"q\"\"x\";LISTEN tidegate_listeners_move");
        assert_eq!(fanout.lost(), (BTreeSet::from([2]), vec![]));
    }

    #[test]
    fn a_move_that_is_taken_back_moves_nothing() {
        let mut fanout = Fanout::default();
        fanout.adopt(1, channels(&["a"]));
        fanout.begin_move(2, channels(&["a"]));
        assert_eq!(fanout.leave(2), None);
        heard(&mut fanout, &notification(MARKER_CHANNEL, "1"));
        let a = notification("a", "");
        assert_eq!(heard(&mut fanout, &a), [(1, a.clone())]);
    }

    #[test]
    fn a_mailbox_holds_so_much_and_says_what_it_lost() {
        let mut mailbox = Mailbox::default();
        assert!(!mailbox.is_due());
        mailbox.hold();
        mailbox.add(b"one");
        assert!(!mailbox.is_due());
        mailbox.release();
        assert!(mailbox.is_due());
        assert_eq!(mailbox.take(), b"one");
        mailbox.add(&vec![0; MAILBOX_BYTES_MAX + 1]);
        mailbox.add(b"after it");
        let told = mailbox.take();
        assert_eq!(told.first(), Some(&b'N'), "only the notice: what came after is lost, too");
        assert!(!mailbox.is_due());
    }

    #[test]
    fn a_name_that_depends_on_the_encoding_does_not_move() {
        assert!(can_move(b"news"));
        assert!(!can_move("n\u{fc}s".as_bytes()));
    }
}
