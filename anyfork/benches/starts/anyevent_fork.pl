#!/usr/bin/perl
# Starts processes with AnyEvent::Fork, as `server.rs` orders on standard input:
# a line each, and a line of answer.
#
# starts N     N starts, one after another, each from `fork` to the first byte
#              from the new process: their nanoseconds
# heap N       has N bytes in memory, all written: "ok"
# hold N       N idle processes that stay: their pids
# release      they end: "ok"

use strict;
use warnings;

use AnyEvent;
use AnyEvent::Fork;
use EV;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

$| = 1;

my $template = AnyEvent::Fork->new_exec->eval(<<'WORKERS');
sub byte {
    my ($socket) = @_;
    syswrite $socket, ".";
}

sub idle {
    my ($socket) = @_;
    syswrite $socket, $$;
    sysread $socket, my $nothing, 1;
}
WORKERS

# Starts one: its socket, and what it says first.
sub start {
    my ($function) = @_;
    my $said = AE::cv;
    $template->fork->run($function, sub {
        my ($socket) = @_;
        my $watcher;
        $watcher = AE::io $socket, 0, sub {
            undef $watcher;
            sysread $socket, my $byte, 64;
            $said->send($socket, $byte);
        };
    });
    return $said->recv;
}

my ($ballast, @held);

while (my $order = <STDIN>) {
    my ($what, $count) = split " ", $order;
    my @answer = "ok";
    if ($what eq "starts") {
        @answer = map {
            my $begun = clock_gettime(CLOCK_MONOTONIC);
            start("byte");
            int((clock_gettime(CLOCK_MONOTONIC) - $begun) * 1e9);
        } 1 .. $count;
    } elsif ($what eq "heap") {
        undef $ballast;
        # Perl fills what lies before a byte that is written.
        vec($ballast, $count - 1, 8) = 1 if $count;
    } elsif ($what eq "hold") {
        @answer = map {
            my ($socket, $pid) = start("idle");
            push @held, $socket;
            $pid;
        } 1 .. $count;
    } elsif ($what eq "release") {
        @held = ();
    }
    print "@answer\n";
}
