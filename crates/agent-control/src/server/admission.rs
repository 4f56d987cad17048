//! Who gets a connection.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Limits, Peer};
use crate::refusal::Refusal;

/// Counts connections.
pub(super) struct Admission {
    limits: Limits,
    open: RefCell<Open>,
}

#[derive(Default)]
struct Open {
    total: usize,
    /// By user; those who may change things are not in it.
    users: BTreeMap<u32, usize>,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, open: RefCell::default() }
    }

    /// A ticket that counts until it is dropped.
    pub(super) fn admit(self: &Rc<Self>, peer: &Peer, may_change: bool) -> Result<Ticket, Refusal> {
        let mut open = self.open.borrow_mut();
        let room =
            if may_change { self.limits.connections } else { self.limits.connections - self.reserved() };
        if open.total >= room {
            return Err(busy(format!("{} control connections are open already", open.total)));
        }
        let user = (!may_change).then_some(peer.uid);
        if let Some(uid) = user {
            let count = open.users.entry(uid).or_default();
            if *count >= self.limits.per_user {
                return Err(busy(format!("user {uid} has {count} control connections open already")));
            }
            *count += 1;
        }
        open.total += 1;
        Ok(Ticket { admission: Rc::clone(self), user })
    }

    fn reserved(&self) -> usize {
        self.limits.reserved.min(self.limits.connections)
    }
}

/// The right to one connection.
pub(super) struct Ticket {
    admission: Rc<Admission>,
    user: Option<u32>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut open = self.admission.open.borrow_mut();
        open.total -= 1;
        if let Some(uid) = self.user
            && let Some(count) = open.users.get_mut(&uid)
        {
            *count -= 1;
            if *count == 0 {
                open.users.remove(&uid);
            }
        }
    }
}

fn busy(message: String) -> Refusal {
    Refusal::Busy {
        message,
        remedy: "try again in a moment; end an `agentctl watch` that nobody needs".to_owned(),
    }
}
