# What run.pl and slurm.pl share: reading the command line, quoting, and the report of failed jobs.
package jobs;
use strict;
use warnings;
use File::Basename qw(basename dirname);
use File::Path qw(make_path);

our $name = basename($0);

# Words that stay shell syntax, so that `run.pl LOG cmd1 \| cmd2 \> file` works. All other words are quoted: a file name
# with a space, a dollar or a quote in it reaches the command as it is.
my %operator = map { $_ => 1 } qw(| || & && ; < > >> 2> 2>> &> &>> 2>&1 >&2 1>&2 |& ( ) { } !);

sub fail {
    my ($message) = @_;
    print STDERR "$name: error: $message\n";
    exit(1);
}

sub usage {
    my ($text) = @_;
    print "usage: $name [options] [JOB=1:n] LOG COMMAND [arguments]\n$text";
    exit(0);
}

# Returns a hash: options (by name with underscores), other (switches with one dash, in order), var, first, last, log, cmd.
sub parse {
    my ($help, @words) = @_;
    my %job = (options => {}, other => [], var => undef, first => 1, last => 1);
    while (@words) {
        if ($words[0] eq '--help' || $words[0] eq '-h') {
            usage($help);
        } elsif ($words[0] =~ /^--([^=]+)=(.*)$/s) {
            my ($key, $value) = ($1, $2);
            $key =~ tr/-/_/;
            $job{options}{$key} = $value;
            shift @words;
        } elsif ($words[0] eq '-V') {    # "export the environment" of other queues: both of ours do
            shift @words;
        } elsif ($words[0] =~ /^-/) {
            my $key = shift @words;
            fail("option $key has no value") unless @words;
            my $value = shift @words;
            if ($key =~ /^--(.+)$/) {
                ($key = $1) =~ tr/-/_/;
                $job{options}{$key} = $value;
            } else {
                push @{ $job{other} }, $key, $value;
            }
        } elsif ($words[0] =~ /^([A-Za-z_]\w*)=(\d+)(?::(\d+))?$/) {
            fail("two job ranges: $job{var}=... and $words[0]") if defined $job{var};
            @job{qw(var first last)} = ($1, $2, defined $3 ? $3 : $2);
            fail("bad job range $words[0]; expected like JOB=1:8, from 1 upwards")
                if $job{first} < 1 || $job{last} < $job{first};
            shift @words;
        } elsif ($words[0] =~ /^[A-Za-z_]\w*=[-\d:]*$/) {
            fail("bad job range $words[0]; expected like JOB=1:8, from 1 upwards");
        } else {
            last;
        }
    }
    fail("expected a log file and a command; see $name --help") if @words < 2;
    ($job{log}, @{ $job{cmd} }) = @words;
    if ($job{last} > $job{first} && index($job{log}, $job{var}) < 0) {
        fail("$job{log}: all jobs would write this one log; put $job{var} into its name");
    }
    my $limit = $job{options}{max_jobs_run};
    fail("--max-jobs-run: expected a positive number, found '$limit'") if defined $limit && $limit !~ /^[1-9]\d*$/;
    return %job;
}

# One word for bash, with each occurrence of the job variable replaced by $value, which is put in as shell text.
sub quote {
    my ($word, $var, $value) = @_;
    return $word if $operator{$word};
    if (defined $var && defined $value && $value =~ /^\d+$/) {
        $word =~ s/\Q$var\E/$value/g;
        undef $var;
    }
    my @parts = defined $var ? split(/\Q$var\E/, $word, -1) : ($word);
    @parts = ('') unless @parts;
    for (@parts) {
        next if m{^[\w./:=,+@%-]+$} || ($_ eq '' && @parts > 1);
        s/'/'\\''/g;
        $_ = "'$_'";
    }
    return join($value // '', @parts);
}

sub command {
    my ($job, $value) = @_;
    return join(' ', map { quote($_, $job->{var}, $value) } @{ $job->{cmd} });
}

sub log_of {
    my ($job, $id) = @_;
    my $log = $job->{log};
    $log =~ s/\Q$job->{var}\E/$id/g if defined $job->{var};
    return $log;
}

sub make_log_folder {
    my ($log) = @_;
    my $folder = dirname($log);
    make_path($folder, { error => \my $errors });
    fail("$folder: cannot be made: " . join(' ', map { values %$_ } @$errors)) if @$errors;
}

sub last_lines {
    my ($file, $number) = @_;
    open(my $in, '<', $file) or return ("($file cannot be read: $!)\n");
    my @lines;
    while (my $line = <$in>) {
        push @lines, $line;
        shift @lines if @lines > $number;
    }
    return @lines;
}

# Says which jobs failed, with the last lines of the first few logs; $reason{job} is what happened to each.
# Returns the exit status of the whole: 0, or the highest of the jobs.
sub report {
    my ($job, $status, $reason) = @_;
    my @failed = sort { $a <=> $b } grep { $status->{$_} != 0 } keys %$status;
    return 0 unless @failed;
    my $total = $job->{last} - $job->{first} + 1;
    my $shown = 0;
    my $highest = 0;
    for my $id (@failed) {
        $highest = $status->{$id} if $status->{$id} > $highest;
        my $log = log_of($job, $id);
        my $which = $total > 1 ? "job $id" : 'job';
        print STDERR "$name: $which $reason->{$id}, log is in $log\n";
        next if $shown++ >= 3;
        print STDERR map { "    | $_" . (/\n\z/ ? '' : "\n") } last_lines($log, 15);
    }
    printf STDERR "%s: %d / %d failed: %s\n", $name, scalar @failed, $total, join(' ', map { log_of($job, $_) } @failed)
        if $total > 1;
    return $highest;
}

1;
