//! Whether a user may do something to a file: by its mode, its groups and, where there is one, its access list.

use super::files::Entry;

/// A user as the system sees a process of theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub uid: u32,
    pub gid: u32,
    /// The other groups.
    pub groups: Vec<u32>,
}

/// A POSIX access list (`acl(5)`). Where there is one, the group bits of the mode are its mask: the most that anybody but the
/// owner and the others may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acl {
    /// User and permissions, before the mask.
    users: Vec<(u32, u32)>,
    /// The owning group's, before the mask.
    owning_group: u32,
    groups: Vec<(u32, u32)>,
    mask: u32,
}

impl Acl {
    /// The name of the extended attribute that holds it.
    pub(crate) const ATTRIBUTE: &'static str = "system.posix_acl_access";

    /// Reads the attribute's value (`linux/posix_acl_xattr.h`); `None` where it is of another version or says no more than the
    /// mode.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let entries = value.strip_prefix(&VERSION.to_le_bytes())?;
        let mut acl = Self { users: Vec::new(), owning_group: 0, groups: Vec::new(), mask: 0 };
        let mut has_mask = false;
        for entry in entries.chunks_exact(8) {
            let (tag, permissions, id) = fields(entry)?;
            match tag {
                USER => acl.users.push((id, permissions)),
                GROUP => acl.groups.push((id, permissions)),
                GROUP_OBJ => acl.owning_group = permissions,
                MASK => (acl.mask, has_mask) = (permissions, true),
                // The owner's and the others' are in the mode as well.
                _ => {}
            }
        }
        has_mask.then_some(acl)
    }
}

/// Whether a user may do all of this: 4 read, 2 write, 1 pass.
pub(super) fn may(entry: &Entry, user: &User, wanted: u32) -> bool {
    let is_member = |gid: u32| gid == user.gid || user.groups.contains(&gid);
    let all = |permissions: u32| permissions & wanted == wanted;
    if user.uid == 0 {
        return true;
    }
    if entry.uid == user.uid {
        return all(entry.mode >> 6);
    }
    let Some(acl) = &entry.acl else {
        return all(if is_member(entry.gid) { entry.mode >> 3 } else { entry.mode });
    };
    if let Some((_, permissions)) = acl.users.iter().find(|(uid, _)| *uid == user.uid) {
        return all(permissions & acl.mask);
    }
    // One of the user's groups has to allow all of it; where none does, being in one keeps the user from being "others".
    let owning = (entry.gid, acl.owning_group);
    let mut of_user =
        std::iter::once(&owning).chain(&acl.groups).filter(|(gid, _)| is_member(*gid)).peekable();
    if of_user.peek().is_none() {
        return all(entry.mode);
    }
    of_user.any(|(_, permissions)| all(permissions & acl.mask))
}

fn fields(entry: &[u8]) -> Option<(u16, u32, u32)> {
    let half = |at: usize| Some(u16::from_le_bytes(entry.get(at..at + 2)?.try_into().ok()?));
    Some((half(0)?, u32::from(half(2)?), u32::from_le_bytes(entry.get(4..8)?.try_into().ok()?)))
}

const VERSION: u32 = 2;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Kind;

    fn value(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    fn user(uid: u32, gid: u32, groups: &[u32]) -> User {
        User { uid, gid, groups: groups.to_vec() }
    }

    fn file(mode: u32, acl: Option<Acl>) -> Entry {
        Entry { path: "/f".into(), uid: 1, gid: 10, mode, acl, kind: Kind::Other }
    }

    #[test]
    fn by_mode_and_groups() {
        for (mode, user, expected) in [
            (0o640, user(0, 0, &[]), true),
            (0o640, user(1, 99, &[]), true),
            (0o640, user(2, 10, &[]), true),
            (0o640, user(2, 99, &[98, 10]), true),
            (0o640, user(2, 99, &[98]), false),
            // The owner and the group are judged by their own bits alone.
            (0o044, user(1, 10, &[]), false),
            (0o604, user(2, 99, &[10]), false),
            (0o604, user(2, 99, &[]), true),
        ] {
            assert_eq!(may(&file(mode, None), &user, 4), expected, "{mode:o} {user:?}");
        }
    }

    #[test]
    fn by_access_list() {
        const OWNER: (u16, u16, u32) = (0x01, 6, u32::MAX);
        const OTHERS: (u16, u16, u32) = (0x20, 4, u32::MAX);
        let list = |mask: u16| {
            let group = |permissions| (GROUP_OBJ, permissions, u32::MAX);
            let named = [(USER, 7, 5), (USER, 0, 6), group(0), (GROUP, 4, 20), (GROUP, 2, 21)];
            Acl::parse(&value(&[&[OWNER], named.as_slice(), &[(MASK, mask, u32::MAX), OTHERS]].concat()))
        };
        for (mask, user, wanted, expected) in [
            (7, user(5, 99, &[]), 6, true),
            (4, user(5, 99, &[]), 6, false),
            (4, user(5, 99, &[]), 4, true),
            (7, user(6, 99, &[20]), 4, false),
            (7, user(2, 10, &[]), 4, false),
            (7, user(2, 10, &[20]), 4, true),
            (7, user(2, 20, &[21]), 4, true),
            // No one group has both.
            (7, user(2, 20, &[21]), 6, false),
            (2, user(2, 20, &[]), 4, false),
            (7, user(2, 99, &[]), 4, true),
            (7, user(2, 99, &[]), 2, false),
            // The mask is not the owner's nor the others'.
            (0, user(1, 99, &[]), 6, true),
            (0, user(2, 99, &[]), 4, true),
        ] {
            let mode = 0o604 | u32::from(mask) << 3;
            assert_eq!(may(&file(mode, list(mask)), &user, wanted), expected, "mask {mask} {user:?}");
        }
    }

    #[test]
    fn what_is_no_list_is_none() {
        let plain = value(&[(0x01, 6, u32::MAX), (GROUP_OBJ, 4, u32::MAX), (0x20, 4, u32::MAX)]);
        for bytes in [&[][..], &[2, 0, 0], &[1, 0, 0, 0], &plain, &[2, 0, 0, 0, 2, 0, 7]] {
            assert_eq!(Acl::parse(bytes), None, "{bytes:?}");
        }
    }
}
