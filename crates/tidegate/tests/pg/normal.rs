//! What may differ between two sessions of PostgreSQL itself, each with its reason; everything
//! else is compared as it came.

use tidegate_testkit::raw::Frame;
use tidegate_wire::backend::Fields;

/// One thing that is made equal before answers are compared.
struct Rule {
    #[expect(dead_code, reason = "for whoever reads the table")]
    reason: &'static str,
    apply: Apply,
}

#[derive(Clone, Copy)]
enum Apply {
    /// To what was told about parameters at the login.
    Login(fn(&mut [Frame])),
    /// To each message with this tag.
    Message(u8, fn(&mut Normal, &mut Frame) -> Option<()>),
}

const RULES: &[Rule] = &[
    Rule {
        reason: "no order is promised for the parameters of a login, and PostgreSQL's has changed \
                 between versions; which they are and what they are is compared",
        apply: Apply::Login(|frames| frames.sort_by(|one, other| one.body.cmp(&other.body))),
    },
    Rule {
        reason: "tables and types that a script makes get the next free OIDs, and those go on \
                 counting from one run to the next; which columns share one is compared",
        apply: Apply::Message(b'T', Normal::row_description),
    },
    Rule {
        reason: "as above, for the types of parameters",
        apply: Apply::Message(b't', Normal::parameter_description),
    },
    Rule {
        reason: "who notified is a process, and processes have numbers of their own",
        apply: Apply::Message(b'A', Normal::notification),
    },
    Rule {
        reason: "the file, line, and function of PostgreSQL's source in which an error was raised \
                 change with every release and with the way to it: no application can rely on them, \
                 and an error that the gate has to raise itself has none",
        apply: Apply::Message(b'E', Normal::without_source),
    },
    Rule { reason: "as above, for notices", apply: Apply::Message(b'N', Normal::without_source) },
];

/// PostgreSQL's own objects have fixed OIDs below this (`FirstNormalObjectId`, transam.h).
const OID_OF_USER_MIN: u32 = 16384;

/// Makes equal what may differ, over all answers of one run.
#[derive(Debug, Default)]
pub(crate) struct Normal {
    /// OIDs in the order of their appearance.
    oids: Vec<u32>,
}

impl Normal {
    /// For the parameters of a login.
    pub(crate) fn make_login(frames: &mut [Frame]) {
        for rule in RULES {
            if let Apply::Login(apply) = rule.apply {
                apply(frames);
            }
        }
    }

    /// For any message. One that is not well-formed is left as far as it was not understood.
    pub(crate) fn make(&mut self, frame: &mut Frame) {
        for rule in RULES {
            match rule.apply {
                Apply::Message(tag, apply) if tag == frame.tag => {
                    let _ = apply(self, frame);
                }
                _ => {}
            }
        }
    }

    fn row_description(&mut self, frame: &mut Frame) -> Option<()> {
        let (count, mut rest) = frame.body.split_first_chunk_mut::<2>()?;
        for _ in 0..u16::from_be_bytes(*count) {
            let name = rest.iter().position(|byte| *byte == 0)?;
            let column = rest.get_mut(name + 1..)?;
            self.oid(column.first_chunk_mut()?);
            self.oid(column.get_mut(TYPE_AT..)?.first_chunk_mut()?);
            rest = column.get_mut(COLUMN_BYTES..)?;
        }
        Some(())
    }

    fn parameter_description(&mut self, frame: &mut Frame) -> Option<()> {
        let (types, _) = frame.body.get_mut(2..)?.as_chunks_mut::<4>();
        types.iter_mut().for_each(|oid| self.oid(oid));
        Some(())
    }

    fn notification(&mut self, frame: &mut Frame) -> Option<()> {
        *frame.body.first_chunk_mut::<4>()? = [0; 4];
        Some(())
    }

    fn without_source(&mut self, frame: &mut Frame) -> Option<()> {
        let fields = Fields::decode(&frame.body).ok()?;
        let kept = fields.iter().filter(|(code, _)| !b"FLR".contains(code));
        let mut rest: Vec<u8> =
            kept.flat_map(|(code, value)| [&[code], value, &[0]].concat()).collect();
        rest.push(0);
        frame.body = rest;
        Some(())
    }

    fn oid(&mut self, bytes: &mut [u8; 4]) {
        let oid = u32::from_be_bytes(*bytes);
        if oid < OID_OF_USER_MIN {
            return;
        }
        let known = self.oids.iter().position(|known| *known == oid);
        let nth = known.unwrap_or_else(|| {
            self.oids.push(oid);
            self.oids.len() - 1
        });
        let nth = u32::try_from(nth).expect("a script makes few objects");
        *bytes = (OID_OF_USER_MIN + nth).to_be_bytes();
    }
}

/// In a RowDescription, behind a column's name: table, column, type, length, modifier, format.
const TYPE_AT: usize = 6;
const COLUMN_BYTES: usize = 18;

#[test]
fn oids_of_users_are_numbered_in_order_and_others_stay() {
    let column = |name: &[u8], table: u32, of: u32| {
        let rest = [&table.to_be_bytes()[..], &[0, 1], &of.to_be_bytes(), &[0; 8]].concat();
        [name, &[0], &rest].concat()
    };
    let described = |table, other| {
        let columns = [column(b"a", table, 23), column(b"bc", table, other), column(b"", 0, other)];
        Frame { tag: b'T', body: [&[0, 3], columns.concat().as_slice()].concat() }
    };
    let (mut one, mut two) = (described(16400, 17000), described(30000, 29999));
    assert_ne!(one, two);
    Normal::default().make(&mut one);
    Normal::default().make(&mut two);
    assert_eq!(one, two);
    assert_eq!(one, described(16384, 16385));
    let mut same = described(30000, 30000);
    Normal::default().make(&mut same);
    assert_ne!(one, same);
}
