#!/usr/bin/perl
# Calls with AnyEvent::Fork, as `server.rs` orders on standard input: a line each, and a
# line of answer. AnyEvent::Fork::RPC does this for its users; here are a length and a
# number over the worker's socket, which is less, and free workers in a list.
#
# workers N      starts N workers: "ok"
# pids 0         the pids of this process and the workers
# calls T        one call after another for T nanoseconds: the nanoseconds of each
# callers-N T    N callers, each of which makes one call after another for T
#                nanoseconds: how many were made, and the nanoseconds that they took

use strict;
use warnings;

use AnyEvent;
use AnyEvent::Fork;
use EV;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

$| = 1;

my $template = AnyEvent::Fork->new_exec->eval(<<'WORKER');
sub serve {
    my ($socket) = @_;
    syswrite $socket, pack "N/a*", pack "Q>", $$;
    my $bytes = "";
    while (sysread $socket, $bytes, 4096, length $bytes) {
        while (length $bytes >= 4 && length $bytes >= 4 + unpack "N", $bytes) {
            my $body = substr $bytes, 4, unpack "N", $bytes;
            substr $bytes, 0, 4 + length $body, "";
            syswrite $socket, pack "N/a*", pack "Q>", 1 + unpack "Q>", $body;
        }
    }
}
WORKER

my (@workers, @free, @waiting);

sub nanos {
    return int(clock_gettime(CLOCK_MONOTONIC) * 1e9);
}

# Gives a number to a worker that is free, or is going to be.
sub call {
    my ($number, $done) = @_;
    my $worker = pop @free or return push @waiting, [$number, $done];
    $worker->{done} = $done;
    syswrite $worker->{socket}, pack "N/a*", pack "Q>", $number;
}

# Reads what a worker has answered.
sub answered {
    my ($worker) = @_;
    sysread $worker->{socket}, $worker->{bytes}, 4096, length $worker->{bytes};
    return if length $worker->{bytes} < 12;
    my $number = unpack "x4 Q>", substr $worker->{bytes}, 0, 12, "";
    my $done = delete $worker->{done};
    push @free, $worker;
    call(@{ shift @waiting }) if @waiting;
    $done->($number);
}

sub start {
    my $started = AE::cv;
    $template->fork->run("serve", sub {
        my $worker = { socket => $_[0], bytes => "" };
        $worker->{done} = sub { $worker->{pid} = $_[0]; $started->send };
        $worker->{watcher} = AE::io $_[0], 0, sub { answered($worker) };
        push @workers, $worker;
    });
    $started->recv;
}

sub one_by_one {
    my ($nanos) = @_;
    my @times;
    my $begun = my $first = nanos;
    while ($begun - $first < $nanos) {
        my $answer = AE::cv;
        call(7, $answer);
        die "8 is wrong" if $answer->recv != 8;
        my $ended = nanos;
        push @times, $ended - $begun;
        $begun = $ended;
    }
    return @times;
}

sub at_once {
    my ($callers, $nanos) = @_;
    my ($made, $begun, $over) = (0, nanos, AE::cv);
    my $next;
    $next = sub {
        $made++ if @_;
        return call(7, $next) if nanos() - $begun < $nanos;
        $over->send if --$callers == 0;
    };
    $next->() for 1 .. $callers;
    $over->recv;
    return $made, nanos() - $begun;
}

while (my $order = <STDIN>) {
    my ($what, $count) = split " ", $order;
    my @answer = "ok";
    if ($what eq "workers") {
        start() for 1 .. $count;
    } elsif ($what eq "pids") {
        @answer = ($$, map { $_->{pid} } @workers);
    } elsif ($what eq "calls") {
        @answer = one_by_one($count);
    } elsif ($what =~ /^callers-(\d+)$/) {
        @answer = at_once($1, $count);
    }
    print "@answer\n";
}
