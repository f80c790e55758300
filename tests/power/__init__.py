"""A small model of a local file system, and what a power cut may leave of it.

The rules. Where the file systems that the queue is meant for (ext4, xfs, btrfs) promise more than the manual pages, the pages count.

1. Nothing is durable because time went by. A power cut may come between any two system calls.
2. `fsync` of a file makes its content durable, and neither its name nor any folder: fsync(2), "Calling fsync() does not necessarily
   ensure that the entry in the directory containing the file has also reached disk. For that an explicit fsync() on a file descriptor
   for the directory is also needed." ext4, xfs and btrfs keep the name of a new file that was synced; nothing here relies on it.
3. `fsync` of a folder makes every change of its own entries durable; not the content of its files, not the entries of other folders,
   and not its own entry in the folder above (ext4 and xfs keep that too: not relied on).
4. Creating, linking, removing and making folders change one entry each, and each such change persists or not by itself, whatever
   came before or after it in another entry: any subset may be on the disk. ext4's journal and xfs' log keep the order of all changes
   ("strictly ordered metadata consistency": J. Mohan, "Documenting the crash-recovery guarantees of Linux file systems", linux-fsdevel,
   March 2019, and the answers to it); btrfs' fsync writes parts ahead of others; POSIX promises nothing. Pillai et al. found programs that
   break on such reordering ("All File Systems Are Not Created Equal", OSDI 2014; their tool ALICE reorders system calls as we do).
5. Changes of one entry persist in their order: a later one on the disk has replaced the earlier ones.
6. `rename` is atomic, across folders too: both entries change together or not at all, and a name that is replaced is never missing
   (rename(2): "there is no point at which another process attempting to access newpath will find it missing"; one transaction of the
   journal in ext4, xfs and btrfs). It is not durable: until one of its two folders is synced it may be wholly lost.
   CrashMonkey found a btrfs (4.16) that broke this (Mohan et al., "Finding Crash-Consistency Bugs with Bounded Black-Box Crash
   Testing", OSDI 2018, new bug 1); that is taken for the fault it was.
7. An entry never names an inode that does not exist; an entry in a folder that is not there is not there.
8. Content that was not synced is there, or absent (a new file has size 0, an old one its old content), or torn: a part of it from the
   start, zeros where it should be, or both (delayed allocation: the size may reach the disk before the blocks; ext4(5) on
   `data=ordered` and `auto_da_alloc`). Its way through a rename is no protection.
9. After the cut no process lives, no flock is held, and the boot has another name.

Not modelled: disks that lie about their cache, renaming of folders, mmap, O_DIRECT, damaged sectors.
"""
