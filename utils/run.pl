#!/usr/bin/env perl
# Runs jobs on this machine, with the command line of Kaldi's run.pl.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use jobs;
use POSIX qw(:signal_h strftime);
use Sys::Hostname;

my $help = <<'END';
Runs COMMAND on this machine with its output in LOG; with JOB=1:n once for each number, in parallel, where JOB in LOG
and in the arguments is replaced by the number. Status 0 when all jobs succeeded, else the highest of theirs.
Words like | > && given as separate arguments are shell syntax; everything else is passed on as it is.
  --max-jobs-run N      how many run at once (default: the number of cores; with --gpu, of GPUs)
  --gpu N               N > 0: the jobs use GPUs
  --num_nodes 1         more than one is an error: use slurm.pl
  --mem, --time, --num_threads and other options with a value are accepted and ignored, as a queue would use them
On Ctrl-C or SIGTERM the jobs get SIGTERM, and SIGKILL when they still run after 30 seconds or at a second Ctrl-C.
END
my $grace = 30;    # seconds from SIGTERM to SIGKILL: enough to write a checkpoint

my %job = jobs::parse($help, @ARGV);
my $nodes = $job{options}{num_nodes} // 1;
jobs::fail("--num_nodes $nodes: runs on this machine only; use slurm.pl for several") if $nodes ne '1';

sub lines_of {
    my (@command) = @_;
    # A machine without this program counts none.
    open(my $in, '-|', "@command 2>/dev/null") or return ();
    my @lines = <$in>;
    close($in);
    return @lines;
}

sub default_limit {
    if (($job{options}{gpu} // 0) ne '0') {
        return scalar(grep { /^GPU/ } lines_of('nvidia-smi', '-L')) || 1;
    }
    # nproc would count what OpenMP may use, which a recipe limits to one thread a job.
    my ($cores) = lines_of('env', '-u', 'OMP_NUM_THREADS', '-u', 'OMP_THREAD_LIMIT', 'nproc');
    return defined $cores && $cores =~ /^(\d+)/ ? $1 : 1;
}

my %running;    # process id -> job number; each process leads a group of its own
my (%status, %reason);
my $stop = 0;
my $signals = POSIX::SigSet->new(SIGINT, SIGTERM, SIGHUP);

sub on_signal {
    my ($signal) = @_;
    my $again = $stop;
    $stop ||= { INT => 2, TERM => 15, HUP => 1 }->{$signal};
    alarm($grace) unless $again;
    # TERM also for Ctrl-C: background processes of a shell ignore INT.
    kill($again ? 'KILL' : 'TERM', map { -$_ } keys %running);
}

sub describe {
    my ($wait_status) = @_;
    my $signal = $wait_status & 127;
    return $signal ? (128 + $signal, "killed by signal $signal") : ($wait_status >> 8, 'exited with status ' . ($wait_status >> 8));
}

sub now { return strftime('%a %b %e %H:%M:%S %Y', localtime) }

# Writes to a log. The log cannot tell that it cannot be written, on a full disk for example, so that is said here.
sub write_whole {
    my ($out, $log, $text) = @_;
    my $done = 0;
    while ($done < length($text)) {
        my $bytes = syswrite($out, $text, length($text) - $done, $done);
        if (!defined $bytes) {
            print STDERR "$jobs::name: $log: cannot be written to its end: $!\n";
            return 0;
        }
        $done += $bytes;
    }
    return 1;
}

my $ended = 0;    # in a job's own process: it was told to end

# In the job's own process: run bash, write the log around it, leave with its status. Never returns.
sub run_job {
    my ($id) = @_;
    my $log = jobs::log_of(\%job, $id);
    my $command = jobs::command(\%job, $id);
    my $out;
    if (!open($out, '>', $log)) {
        print STDERR "$jobs::name: $log: cannot be written: $!\n";
        POSIX::_exit(1);
    }
    my $start = time();
    my $text = "# $command\n# Running on " . hostname() . "\n# Started at " . now() . "\n#\n";
    my $good = write_whole($out, $log, $text);
    # Signals wait while the process doubles, so that none is lost between the old handlers and the new.
    sigprocmask(SIG_BLOCK, $signals);
    POSIX::_exit(143) if $ended;
    my $pid = fork() // -1;
    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        sigprocmask(SIG_UNBLOCK, $signals);
        open(STDIN, '<', '/dev/null');
        open(STDOUT, '>>', $log);
        open(STDERR, '>&', \*STDOUT);
        exec('bash', '-o', 'pipefail', '-c', $command) or POSIX::_exit(127);
    }
    sigprocmask(SIG_UNBLOCK, $signals);
    my $wait_status = 256;
    if ($pid > 0) {
        1 while waitpid($pid, 0) < 0 && $!{EINTR};
        $wait_status = $?;
    }
    my ($code, $how) = describe($wait_status);
    my $seconds = time() - $start;
    open($out, '>>', $log);
    my $end = "# Accounting: time=$seconds threads=" . ($job{options}{num_threads} // 1) . "\n";
    $end .= "# Ended (code $code" . ($wait_status & 127 ? ", $how" : '') . ') at ' . now() . ", elapsed time $seconds seconds\n";
    $good &&= write_whole($out, $log, $end);
    # A job whose log is cut short by a full disk has probably lost other output too.
    $code ||= 1 unless $good;
    POSIX::_exit($code);
}

sub start {
    my ($id) = @_;
    sigprocmask(SIG_BLOCK, $signals);
    my $pid = fork();
    jobs::fail("cannot start a process: $!") unless defined $pid;
    if ($pid == 0) {
        setpgrp(0, 0);
        # Not IGNORE, which the command would inherit: this process stays to write the end of the log.
        $SIG{$_} = sub { $ended = 1 } for qw(INT TERM HUP);
        sigprocmask(SIG_UNBLOCK, $signals);
        run_job($id);
    }
    setpgrp($pid, $pid);    # in both processes, so that it is done whichever runs first
    $running{$pid} = $id;
    sigprocmask(SIG_UNBLOCK, $signals);
}

jobs::make_log_folder(jobs::log_of(\%job, $_)) for $job{first} .. $job{last};
my $limit = $job{options}{max_jobs_run} // default_limit();
$SIG{$_} = \&on_signal for qw(INT TERM HUP);
$SIG{ALRM} = sub { kill('KILL', map { -$_ } keys %running) };

my $next = $job{first};
while (%running || (!$stop && $next <= $job{last})) {
    while (!$stop && $next <= $job{last} && keys %running < $limit) {
        start($next++);
    }
    my $pid = waitpid(-1, 0);
    if ($pid > 0 && exists $running{$pid}) {
        my $id = delete $running{$pid};
        my ($code) = describe($?);
        $status{$id} = $code;
        $reason{$id} = $code > 128 && $code < 160 ? 'was killed by signal ' . ($code - 128) : "failed with status $code";
    }
}
if ($stop) {
    print STDERR "$jobs::name: stopped by a signal; the jobs were ended\n";
    exit(128 + $stop);
}
exit(jobs::report(\%job, \%status, \%reason));
