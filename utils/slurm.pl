#!/usr/bin/env perl
# Runs jobs on a SLURM cluster, with the command line of Kaldi's slurm.pl.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use jobs;
use slurm_watch;
use Cwd qw(getcwd);
use File::Basename qw(basename dirname);

my $help = <<'END';
Submits COMMAND by sbatch and waits until it has ended; with JOB=1:n as a job array, where JOB in LOG and in the arguments
is replaced by the number. Status 0 when all jobs succeeded, else the highest of theirs. A job that fails or vanishes is
reported, with what SLURM says of it, and never run again, unless it may be: --requeue true. Then SLURM starts it again
when a node fails or when it had to make room for another, and so does the job itself when SIGUSR1 told it that its time
is nearly over. Each new start is reported. Ctrl-C or SIGTERM cancels the jobs.
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
# A configuration without a word about this gets these.
my $requeue_lines = "option requeue=true --requeue --signal=B:USR1\@120\noption requeue=false\n";

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

$text .= "\n$requeue_lines" unless $text =~ /^\s*option\s+requeue=/m;

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
# A node failure must be seen, not mended behind the user's back, unless the job may be started again.
my $requeue = grep({ $_ eq '--requeue' } @sbatch) ? 1 : 0;
push @sbatch, '--no-requeue' unless $requeue;

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
my $q_why = jobs::quote("$stem.why.") . ($array ? $task : 1);
my $q_comment = jobs::quote($command);
my $q_body = jobs::quote("$FindBin::RealBin/slurm_job.sh");
my $threads = ($job{options}{num_threads} // 1) =~ /^(\d+)$/ ? $1 : 1;

open(my $out, '>', $script) or jobs::fail("$script: cannot be written: $!");
print $out <<"END" or jobs::fail("$script: cannot be written: $!");
#!/usr/bin/env bash
cd $q_cwd || exit 1
if [ -f ./path.sh ]; then . ./path.sh; fi
log=$q_log status=$q_status why=$q_why comment=$q_comment threads=$threads requeue=$requeue
run_command() {
    $command
}
. $q_body
END
close($out) or jobs::fail("$script: cannot be written: $!");

$SIG{INT} = sub { $slurm_watch::signal = 2 };
$SIG{TERM} = sub { $slurm_watch::signal = 15 };
$SIG{HUP} = sub { $slurm_watch::signal = 1 } unless ($SIG{HUP} // '') eq 'IGNORE';    # by nohup
# Of a job in which this runs: sbatch would hand it on to the new ones.
delete @ENV{qw(SLURM_RESTART_COUNT SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID)};

my @submit = (@sbatch, '--parsable', '--open-mode=append', '--output', "$stem." . ($array ? '%a' : '1') . '.out');
if ($array) {
    push @submit, "--array=$job{first}-$job{last}" . (defined $max_jobs_run ? "%$max_jobs_run" : '');
}
my ($code, $output) = slurm_watch::capture(@submit, $script);
if ($code != 0 || $output !~ /^(\d+)(?:;\S*)?\s*$/m) {
    $output =~ s/\s+$//;
    jobs::fail("submission failed (status $code): @submit $script\n$output");
}
my %waiting = map { $_ => 1 } $job{first} .. $job{last};
my %watch = (id => $1, array => $array, stem => $stem, requeue => $requeue, waiting => \%waiting, status => {});
my ($status, $reason) = slurm_watch::wait_for(\%watch);
exit(slurm_watch::cancel(\%watch)) if $slurm_watch::signal;
my $result = jobs::report(\%job, $status, $reason);
if ($result == 0) {
    # Of success nothing stays but the logs.
    unlink($script, map { ("$stem.status.$_", "$stem.status.$_.quick", "$stem.why.$_", "$stem.$_.out") } $job{first} .. $job{last});
}
exit($result);
