#!/usr/bin/env perl
# Runs jobs on a SLURM cluster, with the command line of Kaldi's slurm.pl.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use jobs;
use Cwd qw(getcwd);
use File::Basename qw(basename dirname);
use POSIX ();

my $help = <<'END';
Submits COMMAND by sbatch and waits until it has ended; with JOB=1:n as a job array, where JOB in LOG and in the arguments
is replaced by the number. Status 0 when all jobs succeeded, else the highest of theirs. A job that fails or vanishes is
reported, never run again. Ctrl-C or SIGTERM cancels the jobs.
Words like | > && given as separate arguments are shell syntax; everything else is passed on as it is.
  --config FILE         how options become sbatch's (default: conf/slurm.conf if it exists)
  --max-jobs-run N      how many jobs of the array run at once
  --gpu, --mem, --time, --num_threads, --num_nodes, --name and what else FILE has
  -x VALUE              any switch with one dash is passed to sbatch
A job that is gone from squeue gets EVC2_SLURM_PATIENCE seconds (30) for its files to be seen here before SLURM is asked.
Lines of FILE: `command sbatch ...`, `option mem=* --mem $0` ($0 is the value), `option mem=0` (one value, nothing to
add), `default gpu=0`. # starts a comment.
END

my $builtin = <<'END';
command sbatch
option name=* --job-name $0
option time=* --time $0
option mem=* --mem $0
option mem=0
option num_threads=* --cpus-per-task $0
option num_nodes=* --nodes $0 --ntasks-per-node 1
option num_nodes=1
default gpu=0
option gpu=* --gres=gpu:$0
option gpu=0
END

my %job = jobs::parse($help, @ARGV);
my %options = %{ $job{options} };
my $max_jobs_run = delete $options{max_jobs_run};
my $config = delete $options{config};
my $text = $builtin;
if (defined $config || -e 'conf/slurm.conf') {
    $config //= 'conf/slurm.conf';
    open(my $in, '<', $config) or jobs::fail("--config: cannot read $config: $!");
    local $/;
    $text = <$in>;
} else {
    $config = 'built-in configuration';
}

my (@sbatch, %exact, %any, %default);
my $number = 0;
for my $line (split /\n/, $text) {
    $number++;
    $line =~ s/(^|\s)#.*//;
    $line =~ s/^\s+|\s+$//g;
    next if $line eq '';
    if ($line =~ /^command\s+(.+)$/) {
        @sbatch = split ' ', $1;
    } elsif ($line =~ /^option\s+([^=\s]+)=(\S+)\s*(.*)$/) {
        my ($key, $value, $add) = ($1, $2, $3);
        $key =~ tr/-/_/;
        $value eq '*' ? ($any{$key} = $add) : ($exact{$key}{$value} = $add);
    } elsif ($line =~ /^default\s+([^=\s]+)=(\S+)$/) {
        my ($key, $value) = ($1, $2);
        $key =~ tr/-/_/;
        $default{$key} = $value;
    } else {
        jobs::fail("$config:$number: expected `command ...`, `option name=value ...` or `default name=value`, found '$line'");
    }
}
jobs::fail("$config: has no `command` line (usually: command sbatch)") unless @sbatch;
$options{$_} //= $default{$_} for keys %default;
for my $key (sort keys %options) {
    my $value = $options{$key};
    my $add = exists $exact{$key} && exists $exact{$key}{$value} ? $exact{$key}{$value} : $any{$key};
    if (!defined $add) {
        my %known = map { $_ => 1 } keys %exact, keys %any;
        jobs::fail("unknown option --$key $value; $config has: " . join(' ', map { "--$_" } sort keys %known));
    }
    push @sbatch, map { s/\$0/$value/gr } split(' ', $add);
}
push @sbatch, @{ $job{other} };
# A node failure must be seen, not mended behind the user's back, unless the configuration asks for it.
push @sbatch, '--no-requeue' unless grep { $_ eq '--requeue' } @sbatch;

# The script, and what the jobs leave for us, lie in a folder beside the logs, as in Kaldi.
my $array = defined $job{var};
my $base = basename($job{log});
$base =~ s/\.[^.]*$//;
$base =~ s/\.?\Q$job{var}\E// if $array;
my $folder = dirname($job{log});
if ($array && index($folder, $job{var}) >= 0) {
    jobs::make_log_folder(jobs::log_of(\%job, $_)) for $job{first} .. $job{last};
    $folder =~ s{/?[^/]*\Q$job{var}\E.*}{};
    $folder = '.' if $folder eq '';
}
jobs::make_log_folder("$folder/q/x");
my $stem = "$folder/q/$base.$$";
my $script = "$stem.sh";
my $task = $array ? '"${SLURM_ARRAY_TASK_ID}"' : '';
my $q_log = jobs::quote($job{log}, $job{var}, $task);
my $q_cwd = jobs::quote(getcwd());
my $q_status = jobs::quote("$stem.status.") . ($array ? $task : 1);
my $command = jobs::command(\%job, $task);
my $q_comment = jobs::quote("# $command");
my $threads = ($job{options}{num_threads} // 1) =~ /^(\d+)$/ ? $1 : 1;

open(my $out, '>', $script) or jobs::fail("$script: cannot be written: $!");
print $out <<"END" or jobs::fail("$script: cannot be written: $!");
#!/usr/bin/env bash
cd $q_cwd || exit 1
if [ -f ./path.sh ]; then . ./path.sh; fi
start=\$(date +%s)
{
  printf '%s\\n' $q_comment
  echo "# Running on \$(hostname), SLURM job \${SLURM_JOB_ID}\${SLURM_ARRAY_TASK_ID:+ (task \${SLURM_ARRAY_TASK_ID})}"
  echo "# Started at \$(date)"
  echo '#'
} > $q_log || exit 1
set +e
( set +e +u -o pipefail; $command
) < /dev/null >> $q_log 2>&1
code=\$?
seconds=\$((\$(date +%s) - start))
{
  echo "# Accounting: time=\$seconds threads=$threads"
  echo "# Ended (code \$code) at \$(date), elapsed time \$seconds seconds"
} >> $q_log || [ \$code -ne 0 ] || code=1
echo \$code > $q_status.part && mv $q_status.part $q_status
exit \$code
END
close($out) or jobs::fail("$script: cannot be written: $!");

my $slurm_id;
my $stop = 0;
$SIG{INT} = sub { $stop ||= 2 };
$SIG{TERM} = sub { $stop ||= 15 };
$SIG{HUP} = sub { $stop ||= 1 };

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

my @submit = (@sbatch, '--parsable', '--output', "$stem." . ($array ? '%a' : '1') . '.out');
if ($array) {
    push @submit, "--array=$job{first}-$job{last}" . (defined $max_jobs_run ? "%$max_jobs_run" : '');
}
my ($code, $output) = capture(@submit, $script);
if ($code != 0 || $output !~ /^(\d+)(?:;\S*)?\s*$/m) {
    $output =~ s/\s+$//;
    jobs::fail("submission failed (status $code): @submit $script\n$output");
}
$slurm_id = $1;

my (%status, %reason);
my %waiting = map { $_ => 1 } $job{first} .. $job{last};

sub collect {
    for my $id (keys %waiting) {
        my $file = "$stem.status." . ($array ? $id : 1);
        open(my $in, '<', $file) or next;
        my $line = <$in> // '';
        next unless $line =~ /^(\d+)$/;
        $status{$id} = $1;
        $reason{$id} = "failed with status $1";
        delete $waiting{$id};
    }
}

# What became of the jobs that left no status: 0 where SLURM does not know them any more, undef where it gave no answer.
sub still_queued {
    my ($queue_code, $queue_output) = capture('squeue', '-h', '-j', $slurm_id, '-o', '%i %T');
    return 0 if $queue_code != 0 && $queue_output =~ /Invalid job id/;
    return if $queue_code != 0;
    # Tasks of an array that wait are one line, such as 12_[3-8].
    return scalar grep { !/ (?:BOOT_FAIL|CANCELLED|COMPLETED|DEADLINE|FAILED|NODE_FAIL|OUT_OF_MEMORY|PREEMPTED|TIMEOUT)\S*$/ }
        grep { /\S/ } split /\n/, $queue_output;
}

# SLURM's own word about a job that left no status: its accounting, or its memory of the last minutes.
sub state_of {
    my ($id) = @_;
    my $which = $array ? "${slurm_id}_$id" : $slurm_id;
    my (undef, $state) = capture('sacct', '-n', '-X', '-P', '-j', $which, '-o', 'State,ExitCode');
    return ($1, $2) if $state =~ /^([A-Z_]+)[^|\n]*\|(\d+)/m;
    (undef, $state) = capture('scontrol', '-o', 'show', 'job', $which);
    return ($1, $2) if $state =~ /JobState=(\w+).*?ExitCode=(\d+)/;
    return;
}

my $patience = $ENV{EVC2_SLURM_PATIENCE} // 30;
my $interval = $patience < 5 ? $patience : 5;
my $wait = 0.1;
my $looked = time();
my $gone = 0;
my $unanswered = 0;
while (%waiting && !$stop) {
    select(undef, undef, undef, $wait);
    $wait = $wait * 1.2 > 3 ? 3 : $wait * 1.2;
    collect();
    next if !%waiting || $stop || time() - $looked < ($gone ? 1 : $interval);
    $looked = time();
    my $left = still_queued();
    if (!defined $left) {
        $unanswered++;
        print STDERR "$jobs::name: squeue gives no answer; waiting on for job $slurm_id\n" if $unanswered == 12;
        next;
    }
    $unanswered = 0;
    # Files written on a node may take a while to be seen here (network file systems), so wait for them a little.
    $gone = $left ? 0 : $gone || time();
    last if $gone && time() - $gone >= $patience;
    $wait = 0.5 if $gone;
}
if ($stop) {
    my ($cancel_code, $cancel_output) = capture('scancel', $slurm_id);
    print STDERR "$jobs::name: stopped by a signal; ",
        $cancel_code ? "scancel $slurm_id failed: $cancel_output" : "job $slurm_id was cancelled", "\n";
    exit(128 + $stop);
}
for my $id (keys %waiting) {
    my ($state, $state_code) = state_of($id);
    if (($state // '') eq 'COMPLETED') {
        $status{$id} = 0;
        next;
    }
    $status{$id} = $state_code || 1;
    $reason{$id} = 'left no status; SLURM says: ' . (defined $state ? "$state, exit code $state_code" : 'nothing');
    my $early = "$stem." . ($array ? $id : 1) . '.out';
    $reason{$id} .= " ($early: " . join(' ', map { s/\s+/ /gr } jobs::last_lines($early, 3)) . ')' if -s $early;
}
my $result = jobs::report(\%job, \%status, \%reason);
if ($result == 0) {
    # Of success nothing stays but the logs.
    unlink($script, map { ("$stem.status.$_", "$stem.$_.out") } $array ? $job{first} .. $job{last} : 1);
}
exit($result);
