//! Timers: one deadline per source, kept in order.
//!
//! Moving a deadline to a later time costs nothing: the entry fires at its old time, and is put
//! back when nothing is due yet. So a deadline that moves with each transaction is cheap.

use std::collections::BTreeSet;

use tidegate_wire::tick::Tick;

use crate::token::Source;

/// A deadline of a source, and the entry that stands for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alarm {
    due: Tick,
    entry: Tick,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { due: Tick::NEVER, entry: Tick::NEVER }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    entries: BTreeSet<(Tick, Source)>,
}

impl Timers {
    /// Sets the deadline of `source`, instead of the one it had.
    pub(crate) fn set(&mut self, source: Source, alarm: &mut Alarm, due: Tick) {
        alarm.due = due;
        if due < alarm.entry {
            if alarm.entry < Tick::NEVER {
                self.entries.remove(&(alarm.entry, source));
            }
            self.entries.insert((due, source));
            alarm.entry = due;
        }
    }

    /// The source has no deadline any more, and its entry goes at once: it may be ending.
    pub(crate) fn clear(&mut self, source: Source, alarm: &mut Alarm) {
        if alarm.entry < Tick::NEVER {
            self.entries.remove(&(alarm.entry, source));
        }
        *alarm = Alarm::default();
    }

    /// The entry of `source` has fired. True when its deadline has come, which is then no more;
    /// otherwise it has moved on, and the entry is put back.
    pub(crate) fn fired(&mut self, source: Source, alarm: &mut Alarm, now: Tick) -> bool {
        let due = alarm.due;
        *alarm = Alarm::default();
        if due > now && due < Tick::NEVER {
            self.set(source, alarm, due);
        }
        due <= now
    }

    /// When the next entry fires.
    pub(crate) fn next(&self) -> Option<Tick> {
        self.entries.first().map(|(tick, _)| *tick)
    }

    /// Takes an entry whose time has come.
    pub(crate) fn pop(&mut self, now: Tick) -> Option<Source> {
        let (tick, source) = *self.entries.first()?;
        if tick > now {
            return None;
        }
        self.entries.pop_first();
        Some(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_moved_on_fires_once_and_late() {
        let source = Source::Mailbox;
        let (mut timers, mut alarm) = (Timers::default(), Alarm::default());
        timers.set(source, &mut alarm, Tick::from_nanos(5));
        timers.set(source, &mut alarm, Tick::from_nanos(9));
        assert_eq!(timers.pop(Tick::from_nanos(5)), Some(source));
        assert!(!timers.fired(source, &mut alarm, Tick::from_nanos(5)));
        assert_eq!(timers.next(), Some(Tick::from_nanos(9)));
        timers.set(source, &mut alarm, Tick::from_nanos(7));
        assert_eq!(timers.next(), Some(Tick::from_nanos(7)));
        assert_eq!(timers.pop(Tick::from_nanos(8)), Some(source));
        assert!(timers.fired(source, &mut alarm, Tick::from_nanos(8)));
        assert_eq!(timers.next(), None, "once");
        timers.set(source, &mut alarm, Tick::from_nanos(9));
        timers.clear(source, &mut alarm);
        assert_eq!(timers.next(), None);
    }
}
