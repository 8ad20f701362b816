# fork, pipes, open with commands, signals, wait statuses, sockets: perl's face of processes.
use strict; use warnings; use POSIX ":sys_wait_h"; use Socket; use IPC::Open3; use IO::Handle; use IO::Select; use Fcntl ":flock";
$| = 1;
my %statuses;
for my $i (1 .. 5) { my $pid = fork // die; exit $i unless $pid; $statuses{$pid} = $i; }
while ((my $pid = waitpid -1, 0) > 0) { print "wrong\n" if $? >> 8 != $statuses{$pid}; }
print "reaped\n";
print `echo back; exit 3`, $? >> 8, "\n";
open my $out, "|-", "tr a-z A-Z" or die; print $out "to a filter\n"; close $out; print "closed $?\n";
open my $in, "-|", "sh", "-c", "seq 3; kill -TERM \$\$" or die; print join(",", map { chomp; $_ } <$in>); close $in; print " signal ", $? & 127, "\n";
my $pid = open3(my $w, my $r, my $err = Symbol::gensym(), "sh", "-c", "cat; echo oops >&2");
print $w "through open3\n"; close $w; print <$r>, <$err>; waitpid $pid, 0; print "open3 $?\n";
local $SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select undef, undef, undef, 10; }; print "caught $@";
my $hups = 0; local $SIG{HUP} = sub { $hups++ }; kill HUP => $$ for 1 .. 3; print "hups $hups\n";
local $SIG{CHLD} = sub { print "child ended\n" }; unless (my $p = fork) { POSIX::_exit(0) } sleep 5; wait; local $SIG{CHLD} = "DEFAULT";
socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die; $a->autoflush; $b->autoflush;
if (!fork) { close $a; while (<$b>) { print $b uc } POSIX::_exit(0) } close $b; print $a "pair\n"; print scalar <$a>; shutdown $a, 1; wait;
socket(my $server, PF_INET, SOCK_STREAM, 6) or die; setsockopt $server, SOL_SOCKET, SO_REUSEADDR, 1; bind $server, pack_sockaddr_in(0, INADDR_LOOPBACK) or die; listen $server, 5;
my ($port) = unpack_sockaddr_in(getsockname $server);
if (!fork) { for (1 .. 3) { socket(my $c, PF_INET, SOCK_STREAM, 6); connect $c, pack_sockaddr_in($port, INADDR_LOOPBACK) or die; print $c "client $_\n"; close $c } POSIX::_exit(0) }
for (1 .. 3) { accept my $c, $server or die; print scalar <$c>; close $c } wait;
open my $lock, ">", "lock" or die; flock $lock, LOCK_EX; if (!fork) { open my $l, ">", "lock"; print flock($l, LOCK_EX | LOCK_NB) ? "got\n" : "locked: $!\n"; POSIX::_exit(0) } wait;
print system("exit 4;") >> 8, " ", system("nothing-here-at-all 2>/dev/null") >> 8, " ", system("kill -9 \$\$;") & 127, "\n";
pipe my ($pr, $pw); my @kids = map { my $n = $_; my $k = fork; if (!$k) { close $pr; syswrite $pw, "$n\n" for 1 .. 100; POSIX::_exit(0) } $k } 1 .. 4; close $pw; my %n; $n{$_}++ while <$pr>; print join(" ", map { s/\n//r . "=" . $n{$_} } sort keys %n), "\n"; waitpid $_, 0 for @kids;
setpgrp; my $sid = do { my $p = open my $c, "-|"; if (!$p) { print POSIX::setsid() == $$ ? "leader\n" : "not\n"; POSIX::_exit(0) } <$c> }; print $sid;
print "umask ", sprintf("%03o", umask 077), " nice ", getpriority(0, 0), " times ", (times)[0] >= 0 ? "ok" : "no", "\n";
exec "sh", "-c", "echo executed; exit 6";
