# SPDX-License-Identifier: GPL-2.0
"""Write a "newc" cpio archive that is the same bytes for the same content.

Archive.add() takes a path in the guest and either bytes, a host file or a
symbolic link's target; missing parent directories are added on the way, owner
and times are always zero, and write() puts everything out in sorted order.
"""
import os
import stat


class Archive:
    def __init__(self):
        self.entries = {}  # guest path -> (mode, rdev, bytes or host path)

    def _parents(self, path):
        parent = os.path.dirname(path)
        if parent and parent not in self.entries:
            self._parents(parent)
            self.entries[parent] = (stat.S_IFDIR | 0o755, (0, 0), b"")

    def _put(self, path, mode, rdev, data):
        path = path.strip("/")
        self._parents(path)
        self.entries[path] = (mode, rdev, data)

    def directory(self, path):
        self._put(path, stat.S_IFDIR | 0o755, (0, 0), b"")

    def link(self, path, target):
        self._put(path, stat.S_IFLNK | 0o777, (0, 0), target.encode())

    def device(self, path, major, minor):
        self._put(path, stat.S_IFCHR | 0o600, (major, minor), b"")

    def data(self, path, content, executable=False):
        mode = 0o755 if executable else 0o644
        self._put(path, stat.S_IFREG | mode, (0, 0), content)

    def host(self, path, source):
        """A host file or directory, recursively; links stay links."""
        if os.path.islink(source):
            self.link(path, os.readlink(source))
        elif os.path.isdir(source):
            self.directory(path)
            for name in sorted(os.listdir(source)):
                self.host(f"{path}/{name}", f"{source}/{name}")
        elif os.path.isfile(source):
            mode = 0o755 if os.access(source, os.X_OK) else 0o644
            self._put(path, stat.S_IFREG | mode, (0, 0), source)

    def write(self, target):
        temporary = f"{target}.{os.getpid()}"
        with open(temporary, "wb") as out:
            for number, path in enumerate(sorted(self.entries), 1):
                mode, rdev, data = self.entries[path]
                if isinstance(data, str):
                    with open(data, "rb") as source:
                        data = source.read()
                self._record(out, number, mode, rdev, path, data)
            self._record(out, 0, 0, (0, 0), "TRAILER!!!", b"")
            out.write(bytes(-out.tell() % 512))
        os.replace(temporary, target)

    @staticmethod
    def _record(out, number, mode, rdev, path, data):
        name = path.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev,
                  len(name), 0)
        out.write(b"070701" + b"".join(b"%08X" % f for f in fields) + name)
        out.write(bytes(-out.tell() % 4))
        out.write(data)
        out.write(bytes(-out.tell() % 4))
