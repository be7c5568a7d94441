# What slurm.pl does after the submission: waits, tells what SLURM does with the jobs, finds out how they ended.
package slurm_watch;
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use jobs;
use POSIX ();

our $signal = 0;    # the number of the signal that asked for the end
our $patience = $ENV{EVC2_SLURM_PATIENCE} // 30;
my $terminal = qr/^(?:BOOT_FAIL|CANCELLED|COMPLETED|DEADLINE|FAILED|NODE_FAIL|OUT_OF_MEMORY|PREEMPTED|TIMEOUT)/;

# Runs a program without a shell; returns its exit status and its output. It leads a group of its own, so that a Ctrl-C in
# the terminal cannot hit sbatch between the submission and the moment we know the job's number.
sub capture {
    my (@words) = @_;
    my $pid = open(my $in, '-|') // jobs::fail("cannot start a process: $!");
    if ($pid == 0) {
        setpgrp(0, 0);
        open(STDERR, '>&', \*STDOUT);
        no warnings 'exec';
        exec { $words[0] } @words or do { syswrite(STDOUT, "$words[0]: $!\n"); POSIX::_exit(127) };
    }
    my $output = '';
    while (1) {
        my $got = sysread($in, $output, 65536, length $output);
        next if !defined $got && $!{EINTR};
        last unless $got;
    }
    close($in);
    return ($? >> 8 || $? & 127, $output);
}

# The jobs that SLURM has not finished with: number => [state, restarts, nodes, and of one that waits why]; undef where it
# gave no answer.
sub queue {
    my ($w) = @_;
    my $fields = 'ArrayTaskID:.12,State:.24,RestartCnt:.8,NodeList:.400,Reason:.80';
    my ($code, $output) = capture('squeue', '-h', '-r', '-j', $w->{id}, '-O', $fields);
    return {} if $code != 0 && $output =~ /Invalid job id/;
    return if $code != 0;
    my %jobs;
    for (split /\n/, $output) {
        my ($number, $state, $restarts, $rest) = split ' ', $_, 4;
        next if !defined $restarts || $state =~ $terminal;
        $rest //= '';
        my $waits = $state eq 'PENDING';    # then no nodes stand before the reason, or those that it waits for
        $jobs{ $w->{array} ? $number : 1 } = [$state, $restarts, $waits ? '' : $rest =~ s/ .*//sr, $waits ? $rest : ''];
    }
    return \%jobs;
}

sub which { my ($w, $id) = @_; return $w->{array} ? "$w->{id}_$id" : $w->{id} }

# SLURM's own word about a job: its memory of the last minutes, else its accounting.
# state, exit code, nodes, how long it ran, its limit
sub record {
    my ($w, $id) = @_;
    my (undef, $text) = capture('scontrol', '-o', 'show', 'job', which($w, $id));
    my %field = map { /^(\w+)=(.*)$/s ? ($1, $2) : () } split ' ', $text;
    return ($field{JobState}, $field{ExitCode} =~ s/:.*//r, @field{qw(NodeList RunTime TimeLimit)})
        if defined $field{JobState} && defined $field{ExitCode};
    (undef, $text) = capture('sacct', '-n', '-X', '-P', '-j', which($w, $id), '-o', 'State,ExitCode,NodeList,Elapsed,Timelimit');
    return ($1, $2, $3, $4, $5) if $text =~ /^([A-Z_]+)[^|\n]*\|(\d+)[^|\n]*\|?([^|\n]*)\|?([^|\n]*)\|?([^|\n]*)$/m;
    return;
}

# Those of the nodes that do not work, each with the reason that SLURM has noted.
sub dead_nodes {
    my ($nodes) = @_;
    return '' if !defined $nodes || $nodes !~ /^\w/;
    my ($code, $output) = capture('sinfo', '-h', '-N', '-n', $nodes, '-o', '%N %T %E');
    return '' if $code != 0;
    my %dead = map { /^(\S+) (\S*(?:down|fail|unknown|\*)\S*) (.*)$/ ? ("node $1 is $2 ($3)" => 1) : () } split /\n/, $output;
    return join('; ', sort keys %dead);
}

# What a job itself has noted of its end.
sub note {
    my ($w, $id) = @_;
    my $file = "$w->{stem}.why.$id";
    return -s $file ? join(' ', map { s/\s+$//r } jobs::last_lines($file, 1)) : '';
}

sub say_restart {
    my ($w, $id, $restarts, $nodes) = @_;
    my $why = note($w, $id) || dead_nodes($nodes) || 'it had to make room for another, or an administrator did it';
    my $which = $w->{array} ? " (task $id)" : '';
    print STDERR "$jobs::name: SLURM job $w->{id}$which is started again, number $restarts: $why\n";
}

# Takes the statuses that jobs have left, each with the number of the start. One that failed may be started again: SLURM's
# queue says so.
sub collect {
    my ($w) = @_;
    for my $id (keys %{ $w->{waiting} }) {
        my $file = "$w->{stem}.status.$id";
        open(my $in, '<', $file) or next;
        my $line = <$in> // '';
        next unless $line =~ /^(\d+) (\d+)$/;
        if ($w->{requeue} && $1) {
            $w->{held}{$id} = [$1, $2];
        } else {
            $w->{status}{$id} = $1;
            delete $w->{$_}{$id} for qw(waiting held absent);
        }
    }
}

# Looks at the queue: new starts, jobs that were told to end and are gone, jobs that vanished.
sub look {
    my ($w) = @_;
    my $queue = queue($w);
    if (!defined $queue) {
        print STDERR "$jobs::name: squeue gives no answer; waiting on for job $w->{id}\n" if ++$w->{unanswered} == 12;
        return;
    }
    $w->{unanswered} = 0;
    for my $id (keys %{ $w->{waiting} }) {
        my ($state, $restarts, $nodes, $why) = @{ $queue->{$id} // [] };
        if (!defined $state) {
            # Files written on a node may take a while to be seen here (network file systems), so wait for them a little.
            $w->{absent}{$id} //= time();
            my $held = delete $w->{held}{$id};
            next unless $held || time() - $w->{absent}{$id} >= $patience;
            $w->{status}{$id} = $held ? $held->[0] : undef;
            delete $w->{waiting}{$id};
            next;
        }
        delete $w->{absent}{$id};
        if ($restarts > ($w->{restarts}{$id} // 0)) {
            $w->{restarts}{$id} = $restarts;
            say_restart($w, $id, $restarts, $w->{nodes}{$id});
        }
        $w->{nodes}{$id} = $nodes if $nodes ne '';
        if ($why =~ /held|BadConstraints|NotAvail|Down|NodeLimit|TimeLimit|Never|Invalid|Required/i) {
            print STDERR "$jobs::name: SLURM job $w->{id} waits: $why\n" unless $w->{said}{$why}++;
        }
        if ($w->{held}{$id} && $w->{held}{$id}[1] < $restarts) {    # of an earlier start
            delete $w->{held}{$id};
            unlink("$w->{stem}.status.$id");
        }
    }
}

# Waits for all jobs; returns their statuses and what happened to those that failed. $signal ends it early.
sub wait_for {
    my ($w) = @_;
    my $interval = $patience < 5 ? $patience : 5;
    my ($wait, $looked) = (0.1, time());
    while (%{ $w->{waiting} } && !$signal) {
        select(undef, undef, undef, $wait);
        $wait = $wait * 1.2 > 3 ? 3 : $wait * 1.2;
        collect($w);
        my $urgent = %{ $w->{absent} // {} } || %{ $w->{held} // {} };
        $wait = 0.5 if $urgent;
        next if !%{ $w->{waiting} } || $signal || time() - $looked < ($urgent ? 1 : $interval);
        $looked = time();
        look($w);
    }
    return if $signal;
    my %reason;
    my $asked = 0;
    for my $id (sort { $a <=> $b } keys %{ $w->{status} }) {
        next if defined $w->{status}{$id} && ($w->{status}{$id} == 0 || $asked++ >= 20);
        $reason{$id} = reason($w, $id);
    }
    $reason{$_} //= "failed with status $w->{status}{$_}" for keys %{ $w->{status} };
    return ($w->{status}, \%reason);
}

# What happened to a failed job, in words; sets the status of one that left none.
sub reason {
    my ($w, $id) = @_;
    my $left = $w->{status}{$id};
    my ($state, $code, $nodes, $ran, $limit);
    for (1 .. 20) {    # a job that is just ending has its final state in a moment
        ($state, $code, $nodes, $ran, $limit) = record($w, $id);
        last if !defined $state || $state =~ $terminal;
        select(undef, undef, undef, 0.5);
    }
    $state //= '';
    if (!defined $left && $state eq 'COMPLETED') {
        $w->{status}{$id} = 0;
        return 'ended well';
    }
    $w->{status}{$id} = $left // ($code || 1);
    my $what = defined $left ? "failed with status $left" : 'left no status; SLURM says: ' . ($state ? "$state, exit code $code" : 'nothing');
    $what = "was stopped at its time limit of $limit (--time)" if $state eq 'TIMEOUT';
    $what = 'was cancelled' if $state eq 'CANCELLED';
    $what = 'needed more memory than it had asked for (--mem)' if $state eq 'OUT_OF_MEMORY';
    $what = 'had to make room for another job' if $state eq 'PREEMPTED';
    $what = 'lost a node: ' . (dead_nodes($w->{nodes}{$id} // $nodes) || $nodes) if $state eq 'NODE_FAIL';
    $what .= ', ' . note($w, $id) if note($w, $id);
    if ($state) {
        $what .= ' (SLURM job ' . which($w, $id) . ": $state" . ($nodes ? " on $nodes" : '') . ($ran ? " after $ran" : '')
            . ($limit ? ", time limit $limit" : '') . ')';
    }
    my $early = "$w->{stem}.$id.out";
    $what .= " ($early: " . join(' ', map { s/\s+/ /gr } jobs::last_lines($early, 3)) . ')' if -s $early;
    return $what;
}

# Cancels the jobs and waits until they have left their nodes, so that what comes next does not meet them; a second signal
# ends the waiting.
sub cancel {
    my ($w) = @_;
    my ($first, $start) = ($signal, time());
    $signal = 0;
    my ($code, $output) = capture('scancel', $w->{id});
    print STDERR "$jobs::name: stopped by a signal; ",
        $code ? "scancel $w->{id} failed: $output" : "job $w->{id} was cancelled", "\n";
    while (!$code && !$signal) {
        my $left = queue($w);
        last if defined $left && !%$left;
        if (time() - $start >= $patience + 10) {
            print STDERR "$jobs::name: job $w->{id} is still ending; see squeue -j $w->{id}\n";
            last;
        }
        select(undef, undef, undef, 0.5);
    }
    return 128 + $first;
}

1;
