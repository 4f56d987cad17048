"""What is in an unpacked package for macOS, held against itself: see `flat`."""

import os
import stat
import struct
import subprocess
import sys
import xml.etree.ElementTree as xml


def entries_of(bom):
    """Each path of a bill of materials, with mode, owner, group, size and checksum."""
    assert bom[:8] == b"BOMStore", "no bill of materials"
    _, _, index_at, _, vars_at, _ = struct.unpack(">6I", bom[8:32])
    count = struct.unpack(">I", bom[index_at : index_at + 4])[0]

    def block(number):
        assert number < count
        at, size = struct.unpack(">II", bom[index_at + 4 + 8 * number : index_at + 12 + 8 * number])
        return bom[at : at + size]

    names, at = {}, vars_at + 4
    for _ in range(struct.unpack(">I", bom[vars_at : vars_at + 4])[0]):
        number, length = struct.unpack(">IB", bom[at : at + 5])
        names[bom[at + 5 : at + 5 + length].decode()] = number
        at += 5 + length
    magic, _, page, _, paths, _ = struct.unpack(">4sIIIIB", block(names["Paths"])[:21])
    assert magic == b"tree"

    def head(page):
        return struct.unpack(">HHII", block(page)[:12])

    def pairs(page):
        data, (_, number, _, _) = block(page), head(page)
        return [struct.unpack(">II", data[12 + 8 * i : 20 + 8 * i]) for i in range(number)]

    while not head(page)[0]:
        page = pairs(page)[0][0]
    raw = {}
    while page:
        for info, file in pairs(page):
            number, facts = struct.unpack(">II", block(info)[:8])
            parent, name = struct.unpack(">I", block(file)[:4])[0], block(file)[4:].rstrip(b"\0").decode()
            _, _, _, mode, uid, gid, _, size, _, sum_ = struct.unpack(">BBHHIIIIBI", block(facts)[:27])
            raw[number] = (parent, name, (mode, uid, gid, size, sum_))
        page = head(page)[2]
    assert len(raw) == paths, f"{len(raw)} paths, and the tree says {paths}"

    def path(number):
        parent, name, _ = raw[number]
        return f"{path(parent)}/{name}" if parent else name

    return {path(number): facts for number, (_, _, facts) in raw.items()}


def payload_of(home):
    """The same of what the payload unpacked to."""
    found = {}
    for directory, below, files in os.walk(home):
        for name in ["."] * (directory == home) + below + files:
            path = os.path.normpath(os.path.join(directory, name))
            facts = os.lstat(path)
            shown = "." if path == home else "./" + os.path.relpath(path, home)
            file = stat.S_ISREG(facts.st_mode)
            found[shown] = (facts.st_mode, facts.st_size if file else None, cksum(path) if file else None)
    return found


def cksum(path):
    return int(subprocess.run(["cksum", path], capture_output=True, check=True).stdout.split()[0])


def mach_o(path):
    """The machine of a program, whether it is signed, and the oldest macOS that it starts on."""
    with open(path, "rb") as file:
        data = file.read()
    magic, machine, _, _, commands = struct.unpack("<5I", data[:20])
    assert magic == 0xFEEDFACF, f"{path}: no Mach-O of 64 bits"
    at, signed, oldest = 32, False, None
    for _ in range(commands):
        kind, size = struct.unpack("<II", data[at : at + 8])
        signed |= kind == 0x1D  # LC_CODE_SIGNATURE
        if kind == 0x32:  # LC_BUILD_VERSION
            platform, version = struct.unpack("<II", data[at + 8 : at + 16])
            assert platform == 1, f"{path}: not for macOS"
            oldest = f"{version >> 16}.{version >> 8 & 0xFF}"
        at += size
    return {0x0100000C: "arm64", 0x01000007: "x86_64"}[machine], signed, oldest


def main(scratch):
    component, home = f"{scratch}/package/agentd.pkg", f"{scratch}/home"
    with open(f"{component}/Bom", "rb") as file:
        bill = entries_of(file.read())
    payload = payload_of(home)
    assert sorted(bill) == sorted(payload), sorted(set(bill) ^ set(payload))
    for path, (mode, uid, gid, size, sum_) in bill.items():
        real_mode, real_size, real_sum = payload[path]
        assert mode == real_mode, f"{path}: mode {mode:o} in the bill, {real_mode:o} in the payload"
        assert (uid, gid) == (0, 0), f"{path}: not root's"
        assert real_size is None or (size, sum_) == (real_size, real_sum), f"{path}: size or checksum"
        assert not mode & 0o022, f"{path}: others could write to it"
    print(f"ok   {len(bill)} paths in the bill of materials, the same in the payload: modes, owners, sizes, checksums")

    info = xml.parse(f"{component}/PackageInfo").getroot()
    assert info.get("identifier") == "io.agentd.agentd" and info.get("install-location") == "/opt/agentd"
    assert info.get("auth") == "root" and info.get("relocatable") == "false"
    assert info.find("payload").get("numberOfFiles") == str(len(bill))
    hooks = {hook.tag: hook.get("file") for hook in info.find("scripts")}
    assert hooks == {"preinstall": "./preinstall", "postinstall": "./postinstall"}, hooks
    distribution = xml.parse(f"{scratch}/package/Distribution").getroot()
    reference = [ref for ref in distribution.findall("pkg-ref") if ref.text]
    assert [(ref.text, ref.get("version")) for ref in reference] == [("#agentd.pkg", info.get("version"))]
    assert distribution.find("domains").attrib == {"enable_localSystem": "true"}
    print(f"ok   version {info.get('version')}, installed as root at {info.get('install-location')}, with its scripts")

    kinds = {mach_o(f"{home}/bin/{program}") for program in ("agentd", "agentctl")}
    assert len(kinds) == 1, kinds
    machine, signed, oldest = kinds.pop()
    # A program for arm64 without any signature is killed when it starts.
    assert signed or machine != "arm64", "not signed, not even ad hoc"
    print(f"ok   programs for {machine}, macOS {oldest} or newer, {'signed ad hoc' if signed else 'not signed'}")


main(sys.argv[1])
