#!/bin/sh
# A repository: commits, branches, a merge with a conflict, a bare clone and a push over file://, garbage collection.
export HOME=$PWD GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@example.org
export GIT_AUTHOR_DATE='1600000000 +0000' GIT_COMMITTER_DATE='1600000000 +0000'
mkdir work && cd work || exit 1
git init -q -b main . && git config gc.auto 0
for i in 1 2 3 4 5; do
    seq $i 20 > numbers; mkdir -p sub/$i; echo $i > sub/$i/file
    git add . && git commit -q -m "commit $i"
done
git log --oneline --stat | cat
git show --stat HEAD~2 | cat
git diff HEAD~1 | cat
git checkout -q -b side HEAD~2 && echo side > numbers && git commit -q -am side
git checkout -q main && git merge side 2>&1; git status --short
git checkout -q --theirs numbers && git add numbers && git commit -q -m merged && git log --graph --oneline | cat
cd ..
git clone -q "file://$PWD/work" copy && cd copy && git log --oneline | wc -l && git fsck --full 2>&1
git clone -q --bare . ../bare.git && git remote add bare "file://$PWD/../bare.git"
echo more > more && git add more && git commit -q -m more && git push -q bare HEAD:main && git ls-remote bare
git gc -q && git count-objects -v | grep -v size
git stash list; echo x >> more; git stash -q; cat more; git stash pop -q; cat more
git blame -s more | cat; git grep -c 1 -- numbers; git archive HEAD | tar -t | wc -l
git rebase -q HEAD~1 2>&1; git tag -a v1 -m v1; git describe
git bundle create -q ../b.bundle main && git bundle verify -q ../b.bundle; echo "status $?"
echo '#!/bin/sh
echo hook ran' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; git commit -q -am hooked 2>&1; git log -1 --format=%h:%s
